rule prepare_data:
    input:
        sources=sorted({*source_files("jobs.prepare"), *source_files("images")}),
    output:
        PATHS.data,
    log:
        PATHS.log("prepare_data"),
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    params:
        study=STUDY_FILE,
        software=provenance.versions(("numpy", "scikit-learn", "torch", "torchvision")),
        settings=STUDY.excerpt("data", "seed"),
    shell:
        "minified prepare {params.study:q} > {log:q} 2>&1"
