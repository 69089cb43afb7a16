rule compress:
    input:
        manifest="results/{grid}/models/{model}.json",
        **calibration_of("{grid}", "{model}", "{calibration}"),
    output:
        [f"results/{CELL}/{file}" for file in MODEL_FILES],
    params:
        spec=lambda w: compress_spec(PARAMS, w.method, float(w.sparsity)).canonical(),
        out=f"results/{CELL}",
    threads: HALF
    resources:
        **asked(compressing, GPU),
    log:
        f"logs/{CELL}.log",
    benchmark:
        f"logs/{CELL}.tsv"
    shell:
        "lorap fetch {input.manifest} --out models/{wildcards.model} > {log} 2>&1;"
        " lorap compress --spec {params.spec:q} --model models/{wildcards.model}"
        " --calibration {input.calibration} --out {params.out} >> {log} 2>&1"
