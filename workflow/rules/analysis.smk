rule aggregate:
    input:
        rows=[PATHS.baseline_rows, *(PATHS.rows(job) for job in JOBS)],
        sources=source_files("aggregate"),
    output:
        PATHS.table("results.csv"),
    log:
        PATHS.log("aggregate"),
    conda:
        ENVIRONMENT
    params:
        study=STUDY_FILE,
        software=ANALYSED_BY,
        settings=STUDY.excerpt("grid"),
    shell:
        "minified aggregate {params.study:q} > {log:q} 2>&1"


rule claims:
    input:
        results=PATHS.table("results.csv"),
        sources=source_files("claims"),
    output:
        claims=report(
            PATHS.table("claims.csv"), caption="../report/claims.rst", category="Verdicts"
        ),
        detail=PATHS.table("claims_detail.csv"),
    log:
        PATHS.log("claims"),
    conda:
        ENVIRONMENT
    params:
        study=STUDY_FILE,
        software=ANALYSED_BY,
        looks=STUDY.looks(),
        settings=STUDY.excerpt("claims", "criteria"),
    shell:
        "minified claims {params.study:q} > {log:q} 2>&1"


rule correlate:
    input:
        damage=[PATHS.damage(removal) for removal in STUDY.removals],
        scores=[PATHS.scores(method) for method in STUDY.methods],
        sources=source_files("correlate"),
    output:
        units=PATHS.table("damage_units.csv"),
        correlations=PATHS.table("damage.csv"),
    log:
        PATHS.log("correlate"),
    conda:
        ENVIRONMENT
    params:
        study=STUDY_FILE,
        software=ANALYSED_BY,
        settings=STUDY.excerpt("grid"),
    shell:
        "minified correlate {params.study:q} > {log:q} 2>&1"


rule tables:
    input:
        PATHS.table("results.csv"),
        PATHS.table("claims.csv"),
        PATHS.table("claims_detail.csv"),
        PATHS.table("damage.csv"),
        sources=source_files("tables"),
    output:
        [PATHS.table(name) for name in WRITTEN_TABLES],
        report(PATHS.table("accuracy.csv"), caption="../report/accuracy.rst", category="Tables"),
        report(PATHS.table("sizes.csv"), caption="../report/sizes.rst", category="Tables"),
    log:
        PATHS.log("tables"),
    conda:
        ENVIRONMENT
    params:
        study=STUDY_FILE,
        software=ANALYSED_BY,
        looks=STUDY.looks(),
        settings=STUDY.excerpt("claims", "criteria", "replicates"),
    shell:
        "minified tables {params.study:q} > {log:q} 2>&1"


# One job per figure, so that only a figure whose file was edited is drawn again.
for NAME in figure_names(STUDY):

    rule:
        name:
            f"figures_{NAME}"
        input:
            [PATHS.table(table) for table in FIGURES[NAME].tables],
            sources=figure_files(NAME),
        output:
            [PATHS.figure(NAME, kind) for kind in ("pdf", "png")],
            report(PATHS.figure(NAME, "svg"), caption=f"../report/{NAME}.rst", category="Figures"),
        log:
            PATHS.log(f"figures/{NAME}"),
        # Figures take longest at the end of a run, so they start first.
        priority: 1
        conda:
            ENVIRONMENT
        params:
            study=STUDY_FILE,
            software=ANALYSED_BY,
            figure=NAME,
            looks=STUDY.looks(),
            settings=STUDY.excerpt("grid", "criteria", "regimes", *FIGURES[NAME].settings),
        shell:
            "minified figures {params.study:q} --figure {params.figure:q} > {log:q} 2>&1"
