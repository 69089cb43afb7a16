rule calibrate:
    input:
        manifest="results/{grid}/models/{model}.json",
    output:
        **calibration_of("{grid}", "{model}", "{calibration}"),
    params:
        spec=lambda w: calibrate_spec(PARAMS, w.calibration).canonical(),
    resources:
        **asked(calibrating),
    log:
        "logs/{grid}/calibrate/{model}/{calibration}.log",
    benchmark:
        "logs/{grid}/calibrate/{model}/{calibration}.tsv"
    shell:
        "lorap fetch {input.manifest} --out models/{wildcards.model} > {log} 2>&1;"
        " lorap calibrate --spec {params.spec:q} --model models/{wildcards.model} --out {output.calibration} >> {log} 2>&1"
