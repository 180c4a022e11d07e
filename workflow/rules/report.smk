rule notebook:
    input:
        notebook=NOTEBOOK,
        sources=sorted(
            {
                *source_files("notebook"),
                *sources.closure("minified.analysis.results"),
                *sources.closure("minified.analysis.statistics"),
            }
        ),
        results=PATHS.table("results.csv"),
        claims=PATHS.table("claims.csv"),
        detail=PATHS.table("claims_detail.csv"),
    output:
        PATHS.notebook,
    log:
        PATHS.log("notebook"),
    priority: 1
    conda:
        ENVIRONMENT
    params:
        study=STUDY_FILE,
    shell:
        "minified notebook {params.study:q} --notebook {input.notebook:q} > {log:q} 2>&1"


rule provenance:
    input:
        data=PATHS.data,
        sources=source_files("provenance"),
    output:
        PATHS.provenance,
    log:
        PATHS.log("provenance"),
    conda:
        ENVIRONMENT
    params:
        study=STUDY_FILE,
        settings=STUDY.excerpt(*Settings.model_fields),
        software=provenance.packages(),
    shell:
        "minified provenance {params.study:q} > {log:q} 2>&1"


rule publish:
    input:
        FIGURE_FILES,
        TABLE_FILES,
        PATHS.provenance,
        sources=source_files("publish"),
    output:
        PATHS.published,
    log:
        PATHS.log("publish"),
    conda:
        ENVIRONMENT
    params:
        study=STUDY_FILE,
    shell:
        "minified publish {params.study:q} > {log:q} 2>&1"
