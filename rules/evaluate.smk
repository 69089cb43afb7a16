EVALUATION = "{grid}/evaluate/{model}"
TIMED = ALL  # measurements of time run alone on the machine


rule evaluate_dense:
    input:
        manifest="results/{grid}/models/{model}.json",
        model=ancient("models/{model}/meta.json"),
    output:
        [f for measure in MEASURES for f in with_meta(f"results/{EVALUATION}/dense/{measure}")],
    params:
        spec=lambda w: plan.suite_spec(PARAMS, GRIDS[w.grid]).canonical(),
    threads: TIMED
    resources:
        gpu=GPU,
    log:
        f"logs/{EVALUATION}/dense.log",
    benchmark:
        f"logs/{EVALUATION}/dense.tsv"
    shell:
        "lorap evaluate suite --spec {params.spec:q} --model models/{wildcards.model}"
        " --out $(dirname {output[0]}) > {log} 2>&1"


rule evaluate:
    input:
        [f"results/{CELL}/{file}" for file in MODEL_FILES],
    output:
        [
            f
            for measure in MEASURES
            for f in with_meta(f"results/{EVALUATION}/{{calibration}}/{{method}}-{{sparsity}}/{measure}")
        ],
    params:
        spec=lambda w: plan.suite_spec(PARAMS, GRIDS[w.grid]).canonical(),
    threads: TIMED
    resources:
        gpu=GPU,
    log:
        f"logs/{EVALUATION}/{{calibration}}/{{method}}-{{sparsity}}.log",
    benchmark:
        f"logs/{EVALUATION}/{{calibration}}/{{method}}-{{sparsity}}.tsv"
    shell:
        "lorap evaluate suite --spec {params.spec:q} --model $(dirname {input[0]})"
        " --out $(dirname {output[0]}) > {log} 2>&1"


rule spectra:
    input:
        manifest="results/{grid}/models/{model}.json",
        model=ancient("models/{model}/meta.json"),
        calibration=lambda w: with_meta(
            f"results/{w.grid}/calibrate/{w.model}/{GRIDS[w.grid].calibration}.safetensors"
        ),
    output:
        with_meta(f"results/{EVALUATION}/spectra.json"),
    params:
        spec=plan.spectra_spec(PARAMS).canonical(),
    threads: HALF
    resources:
        gpu=GPU,
    log:
        f"logs/{EVALUATION}/spectra.log",
    benchmark:
        f"logs/{EVALUATION}/spectra.tsv"
    shell:
        "lorap evaluate spectra --spec {params.spec:q} --model models/{wildcards.model}"
        " --calibration {input.calibration[0]} --out {output[0]} > {log} 2>&1"
