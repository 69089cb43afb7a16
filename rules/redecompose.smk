rule redecompose:
    input:
        model=[f"results/{CELL}/{file}" for file in MODEL_FILES],
        adapter=[f"results/{TUNED}/{file}" for file in ADAPTER_FILES],
        **calibration_of("{grid}", "{model}", "{calibration}"),
    output:
        [f"results/{REDECOMPOSED}/{file}" for file in MODEL_FILES],
    params:
        spec=lambda w: redecompose_spec(PARAMS, w.kept_as).canonical(),
        of=f"--model results/{CELL} --adapter results/{TUNED}",
        out=f"results/{REDECOMPOSED}",
    threads: HALF
    resources:
        **asked(redecomposing, GPU),
    log:
        f"logs/{REDECOMPOSED}.log",
    benchmark:
        f"logs/{REDECOMPOSED}.tsv"
    shell:
        "lorap redecompose --spec {params.spec:q} {params.of} --calibration {input.calibration}"
        " --out {params.out} > {log} 2>&1"
