rule explore:
    input:
        notebook=NOTEBOOK,
        sources=sorted(
            {
                *source_files("analysis.notebook"),
                *source_files("analysis.results"),
                *source_files("analysis.statistics"),
            }
        ),
        results=PATHS.table("results.csv"),
        claims=PATHS.table("claims.csv"),
        detail=PATHS.table("claims_detail.csv"),
    output:
        PATHS.notebook,
    log:
        PATHS.log("explore"),
    priority: 1
    conda:
        ENVIRONMENT
    params:
        study=STUDY_FILE,
    shell:
        "minified notebook {params.study:q} --notebook {input.notebook:q} > {log:q} 2>&1"


rule record_provenance:
    input:
        data=PATHS.data,
        sources=source_files("provenance"),
        criteria=[sources.relative(STUDY.registry[name].file) for name in STUDY.criteria],
    output:
        PATHS.provenance,
    log:
        PATHS.log("record_provenance"),
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
        sources=source_files("analysis.publish"),
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
