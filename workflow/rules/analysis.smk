rule aggregate:
    input:
        rows=[PATHS.baseline_rows, *(PATHS.rows(job) for job in JOBS)],
        sources=source_files("analysis.aggregate"),
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
    conda:
        ENVIRONMENT
    params:
        study=STUDY_FILE,
        software=ANALYSED_BY,
        settings=STUDY.excerpt("claims", "criteria", "replicates"),
    shell:
        "minified tables {params.study:q} > {log:q} 2>&1"


# Figures drawn from the same tables are one job, which starts as soon as these are there.
for GROUP, FIGURE_NAMES in figure_groups(STUDY).items():

    rule:
        name:
            f"plot_{GROUP}"
        input:
            sorted({PATHS.table(table) for name in FIGURE_NAMES for table in FIGURES[name].tables}),
            sources=source_files("analysis.figures"),
        output:
            [PATHS.figure(name, kind) for name in FIGURE_NAMES for kind in ("pdf", "png")],
            *[
                report(
                    PATHS.figure(name, "svg"),
                    caption=f"../report/{name}.rst",
                    category="Figures",
                )
                for name in FIGURE_NAMES
            ],
        log:
            PATHS.log(f"plot/{GROUP}"),
        # What takes longest at the end starts first.
        priority: 1
        conda:
            ENVIRONMENT
        params:
            study=STUDY_FILE,
            software=ANALYSED_BY,
            figures=[word for name in FIGURE_NAMES for word in ("--figure", name)],
            settings=STUDY.excerpt(
                "grid",
                "criteria",
                *sorted({key for name in FIGURE_NAMES for key in FIGURES[name].settings}),
            ),
        shell:
            "minified figures {params.study:q} {params.figures:q} > {log:q} 2>&1"
