TIMED = ALL  # measurements of time run alone on the machine


rule evaluate_dense:
    input:
        manifest="results/{grid}/models/{model}.json",
    output:
        measured("{grid}/evaluate/{model}/dense"),
    params:
        spec=suite_of,
        out="results/{grid}/evaluate/{model}/dense",
    threads: TIMED
    resources:
        **asked(measuring, GPU),
    log:
        "logs/{grid}/evaluate/{model}/dense.log",
    benchmark:
        "logs/{grid}/evaluate/{model}/dense.tsv"
    shell:
        "lorap fetch {input.manifest} --out models/{wildcards.model} > {log} 2>&1;"
        " lorap evaluate suite --spec {params.spec:q} --model models/{wildcards.model}"
        " --out {params.out} >> {log} 2>&1"


rule evaluate_compressed:
    input:
        [f"results/{CELL}/{file}" for file in MODEL_FILES],
    output:
        measured(MEASURED),
    params:
        spec=suite_of,
        of=f"--model results/{CELL}",
        out=f"results/{MEASURED}",
    threads: TIMED
    resources:
        **asked(measuring, GPU),
    log:
        f"logs/{MEASURED}.log",
    benchmark:
        f"logs/{MEASURED}.tsv"
    shell:
        "lorap evaluate suite --spec {params.spec:q} {params.of} --out {params.out} > {log} 2>&1"


# The compressed model with the adapter beside it, as the paper evaluates it.
use rule evaluate_compressed as evaluate_adapter with:
    input:
        [f"results/{CELL}/{file}" for file in MODEL_FILES],
        [f"results/{TUNED}/{file}" for file in ADAPTER_FILES],
    output:
        measured(f"{MEASURED}/{{tuning}}/adapter"),
    params:
        spec=suite_of,
        of=f"--model results/{CELL} --adapter results/{TUNED}",
        out=f"results/{MEASURED}/{{tuning}}/adapter",
    log:
        f"logs/{MEASURED}/{{tuning}}/adapter.log",
    benchmark:
        f"logs/{MEASURED}/{{tuning}}/adapter.tsv"


use rule evaluate_compressed as evaluate_redecomposed with:
    input:
        [f"results/{REDECOMPOSED}/{file}" for file in MODEL_FILES],
    output:
        measured(f"{MEASURED}/{{tuning}}/{{kept_as}}"),
    params:
        spec=suite_of,
        of=f"--model results/{REDECOMPOSED}",
        out=f"results/{MEASURED}/{{tuning}}/{{kept_as}}",
    log:
        f"logs/{MEASURED}/{{tuning}}/{{kept_as}}.log",
    benchmark:
        f"logs/{MEASURED}/{{tuning}}/{{kept_as}}.tsv"


rule spectra:
    input:
        unpack(lambda w: calibration_of(w.grid, w.model, GRIDS[w.grid].calibration)),
        manifest="results/{grid}/models/{model}.json",
    output:
        **with_meta("results/{grid}/evaluate/{model}/spectra.json"),
    params:
        spec=spectra_spec(PARAMS).canonical(),
    threads: HALF
    resources:
        **asked(finding_spectra, GPU),
    log:
        "logs/{grid}/evaluate/{model}/spectra.log",
    benchmark:
        "logs/{grid}/evaluate/{model}/spectra.tsv"
    shell:
        "lorap fetch {input.manifest} --out models/{wildcards.model} > {log} 2>&1;"
        " lorap evaluate spectra --spec {params.spec:q} --model models/{wildcards.model}"
        " --calibration {input.calibration} --out {output.file} >> {log} 2>&1"
