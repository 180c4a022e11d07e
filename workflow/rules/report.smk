rule notebook:
    input:
        unpack(read_by("notebook", source=NOTEBOOK)),
    output:
        PATHS.notebook,
    log:
        PATHS.log("notebook"),
    priority: 1
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **asked("notebook", source=NOTEBOOK),
    params:
        study=STUDY_FILE,
        notebook=NOTEBOOK,
        software=software_of("notebook"),
    shell:
        "minified notebook {params.study:q} --notebook {params.notebook:q} > {log:q} 2>&1"


rule provenance:
    input:
        unpack(read_by("provenance")),
    output:
        PATHS.provenance,
    log:
        PATHS.log("provenance"),
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **asked("provenance"),
    params:
        study=STUDY_FILE,
        software=software_of("provenance"),
        settings=settings_of("provenance"),
    shell:
        "minified provenance {params.study:q} > {log:q} 2>&1"


rule publish:
    input:
        unpack(read_by("publish")),
    output:
        PATHS.published,
    log:
        PATHS.log("publish"),
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **asked("publish"),
    params:
        study=STUDY_FILE,
    shell:
        "minified publish {params.study:q} > {log:q} 2>&1"
