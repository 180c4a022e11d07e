rule aggregate:
    input:
        rows=[PATHS.baseline_rows, *(PATHS.rows(job) for job in JOBS)],
        sources=source_files("analysis.aggregate"),
    output:
        PATHS.table("results.csv"),
    log:
        PATHS.log("aggregate"),
    benchmark:
        PATHS.benchmark("aggregate")
    conda:
        ENVIRONMENT
    params:
        study=STUDY_FILE,
        software=ANALYSED_BY,
        settings=STUDY.excerpt("grid"),
    shell:
        "minified aggregate {params.study:q} > {log:q} 2>&1"


rule test_claims:
    input:
        results=PATHS.table("results.csv"),
        sources=source_files("analysis.claims"),
    output:
        claims=report(
            PATHS.table("claims.csv"), caption="../report/claims.rst", category="Verdicts"
        ),
        detail=PATHS.table("claims_detail.csv"),
    log:
        PATHS.log("test_claims"),
    benchmark:
        PATHS.benchmark("test_claims")
    conda:
        ENVIRONMENT
    params:
        study=STUDY_FILE,
        software=ANALYSED_BY,
        settings=STUDY.excerpt("claims", "criteria"),
    shell:
        "minified claims {params.study:q} > {log:q} 2>&1"


rule correlate_damage:
    input:
        damage=[PATHS.damage(removal) for removal in STUDY.removals],
        scores=[PATHS.scores(method) for method in STUDY.methods],
        sources=source_files("analysis.damage"),
    output:
        units=PATHS.table("damage_units.csv"),
        correlations=PATHS.table("damage.csv"),
    log:
        PATHS.log("correlate_damage"),
    benchmark:
        PATHS.benchmark("correlate_damage")
    conda:
        ENVIRONMENT
    params:
        study=STUDY_FILE,
        software=ANALYSED_BY,
        settings=STUDY.excerpt("grid"),
    shell:
        "minified correlate {params.study:q} > {log:q} 2>&1"


rule tabulate:
    input:
        PATHS.table("results.csv"),
        PATHS.table("claims.csv"),
        PATHS.table("claims_detail.csv"),
        PATHS.table("damage.csv"),
        sources=source_files("analysis.tables"),
    output:
        [PATHS.table(name) for name in WRITTEN_TABLES],
        report(PATHS.table("accuracy.csv"), caption="../report/accuracy.rst", category="Tables"),
        report(PATHS.table("sizes.csv"), caption="../report/sizes.rst", category="Tables"),
    log:
        PATHS.log("tabulate"),
    benchmark:
        PATHS.benchmark("tabulate")
    conda:
        ENVIRONMENT
    params:
        study=STUDY_FILE,
        software=ANALYSED_BY,
        settings=STUDY.excerpt("claims", "criteria", "replicates"),
    shell:
        "minified tables {params.study:q} > {log:q} 2>&1"


# One rule per figure, so that each has its own caption and is drawn anew only when it must be.
for FIGURE in figure_names(STUDY):

    rule:
        name:
            f"plot_{FIGURE}"
        input:
            [PATHS.table(name) for name in FIGURES[FIGURE].tables],
            sources=source_files("analysis.figures"),
        output:
            PATHS.figure(FIGURE, "pdf"),
            PATHS.figure(FIGURE, "png"),
            report(
                PATHS.figure(FIGURE, "svg"),
                caption=f"../report/{FIGURE}.rst",
                category="Figures",
            ),
        log:
            PATHS.log(f"plot/{FIGURE}"),
        benchmark:
            PATHS.benchmark(f"plot/{FIGURE}")
        conda:
            ENVIRONMENT
        params:
            study=STUDY_FILE,
            software=ANALYSED_BY,
            figure=FIGURE,
            settings=STUDY.excerpt("grid", "criteria", *FIGURES[FIGURE].settings),
        shell:
            "minified figures {params.study:q} --figure {params.figure:q} > {log:q} 2>&1"
