rule prepare:
    input:
        sources=source_files("prepare"),
        reader=list(sources.of_file(CATALOGUE[STUDY.data.name].file)),
    output:
        PATHS.data,
    log:
        PATHS.log("prepare"),
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    params:
        study=STUDY_FILE,
        software=provenance.versions(("numpy", "scikit-learn", "torch", "torchvision")),
        settings=STUDY.excerpt("data", "seed"),
    shell:
        "minified prepare {params.study:q} > {log:q} 2>&1"
