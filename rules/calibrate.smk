rule calibrate:
    input:
        manifest="results/{grid}/models/{model}.json",
    output:
        with_meta("results/{grid}/calibrate/{model}/{calibration}.safetensors"),
    params:
        spec=lambda w: plan.calibrate_spec(PARAMS, w.calibration).canonical(),
    resources:
        **asked(calibrating),
    log:
        "logs/{grid}/calibrate/{model}/{calibration}.log",
    benchmark:
        "logs/{grid}/calibrate/{model}/{calibration}.tsv"
    shell:
        FETCHED + "lorap calibrate --spec {params.spec:q} --model models/{wildcards.model} --out {output[0]} >> {log} 2>&1"
