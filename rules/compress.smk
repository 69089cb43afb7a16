rule compress:
    input:
        manifest="results/{grid}/models/{model}.json",
        calibration=with_meta("results/{grid}/calibrate/{model}/{calibration}.safetensors"),
    output:
        [f"results/{CELL}/{file}" for file in MODEL_FILES],
    params:
        spec=lambda w: plan.compress_spec(PARAMS, w.method, float(w.sparsity)).canonical(),
        out=lambda w: f"results/{CELL}".format(**w),
    threads: HALF
    resources:
        **asked(compressing, GPU),
    log:
        f"logs/{CELL}.log",
    benchmark:
        f"logs/{CELL}.tsv"
    shell:
        FETCHED + "lorap compress --spec {params.spec:q} --model models/{wildcards.model}"
        " --calibration {input.calibration[0]} --out {params.out} >> {log} 2>&1"
