rule redecompose:
    input:
        model=[f"results/{CELL}/{file}" for file in MODEL_FILES],
        adapter=[f"results/{TUNED}/{file}" for file in ADAPTER_FILES],
        calibration=with_meta("results/{grid}/calibrate/{model}/{calibration}.safetensors"),
    output:
        [f"results/{REDECOMPOSED}/{file}" for file in MODEL_FILES],
    params:
        spec=lambda w: plan.redecompose_spec(PARAMS, w.kept_as).canonical(),
        out=lambda w: f"results/{REDECOMPOSED}".format(**w),
    threads: HALF
    resources:
        **asked(redecomposing, GPU),
    log:
        f"logs/{REDECOMPOSED}.log",
    benchmark:
        f"logs/{REDECOMPOSED}.tsv"
    shell:
        "lorap redecompose --spec {params.spec:q} --model $(dirname {input.model[0]})"
        " --adapter $(dirname {input.adapter[0]}) --calibration {input.calibration[0]}"
        " --out {params.out} > {log} 2>&1"
