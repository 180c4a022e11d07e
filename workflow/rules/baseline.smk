rule train:
    input:
        unpack(read_by("train")),
    output:
        baseline=PLACES.baseline,
        curve=PLACES.curve("train"),
    log:
        PLACES.log("{where}{block}train"),
    group:
        submission_of("train")
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    resources:
        **asked("train"),
    params:
        study=STUDY_FILE,
        of=of_whom,
        software=software_of("train"),
        settings=settings_of("train"),
    shell:
        "minified train {params.study:q} {params.of:q} > {log:q} 2>&1"


rule evaluate:
    input:
        unpack(read_by("evaluate")),
    output:
        PLACES.baseline_rows,
    log:
        PLACES.log("{where}{block}evaluate"),
    group:
        submission_of("evaluate")
    conda:
        ENVIRONMENT
    threads: STUDY.threads
    resources:
        **asked("evaluate"),
    params:
        study=STUDY_FILE,
        of=of_whom,
        software=software_of("evaluate"),
        settings=settings_of("evaluate"),
    shell:
        "minified evaluate {params.study:q} {params.of:q} > {log:q} 2>&1"
