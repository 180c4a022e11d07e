rule aggregate:
    input:
        unpack(read_by("aggregate")),
    output:
        results=PATHS.table("results.csv"),
        curves=PATHS.table("curves.csv"),
    log:
        PATHS.log("aggregate"),
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **asked("aggregate"),
    params:
        study=STUDY_FILE,
        software=software_of("aggregate"),
        settings=settings_of("aggregate"),
    shell:
        "minified aggregate {params.study:q} > {log:q} 2>&1"


rule claims:
    input:
        unpack(read_by("claims")),
    output:
        claims=report(
            PATHS.table("claims.csv"), caption="../report/claims.rst", category="Verdicts"
        ),
        detail=PATHS.table("claims_detail.csv"),
    log:
        PATHS.log("claims"),
    # The longest of the last jobs wait for it.
    priority: 2
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **asked("claims"),
    params:
        study=STUDY_FILE,
        software=software_of("claims"),
        settings=settings_of("claims"),
    shell:
        "minified claims {params.study:q} > {log:q} 2>&1"


if STUDY.specified:

    rule specifications:
        input:
            unpack(read_by("specifications")),
        output:
            task("specifications").outputs,
        log:
            PATHS.log("specifications"),
        localrule: True
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            **asked("specifications"),
        params:
            study=STUDY_FILE,
            software=software_of("specifications"),
            settings=settings_of("specifications"),
        shell:
            "minified specifications {params.study:q} > {log:q} 2>&1"


rule correlate:
    input:
        unpack(read_by("correlate")),
    output:
        units=PATHS.table("damage_units.csv"),
        scatter=PATHS.table("damage_scatter.csv"),
        correlations=PATHS.table("damage.csv"),
    log:
        PATHS.log("correlate"),
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **asked("correlate"),
    params:
        study=STUDY_FILE,
        software=software_of("correlate"),
        settings=settings_of("correlate"),
    shell:
        "minified correlate {params.study:q} > {log:q} 2>&1"


rule tables:
    input:
        unpack(read_by("tables")),
    output:
        [PATHS.table(name) for name in WRITTEN_TABLES],
        report(PATHS.table("accuracy.csv"), caption="../report/accuracy.rst", category="Tables"),
        report(PATHS.table("sizes.csv"), caption="../report/sizes.rst", category="Tables"),
    log:
        PATHS.log("tables"),
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **asked("tables"),
    params:
        study=STUDY_FILE,
        software=software_of("tables"),
        settings=settings_of("tables"),
    shell:
        "minified tables {params.study:q} > {log:q} 2>&1"


# One job per figure, so that only a figure whose file was edited is drawn again.
for NAME in figure_names(STUDY):

    rule:
        name:
            f"figures_{NAME}"
        input:
            unpack(read_by("figures", figure=NAME)),
        output:
            [PATHS.figure(NAME, kind) for kind in ("pdf", "png")],
            report(PATHS.figure(NAME, "svg"), caption=f"../report/{NAME}.rst", category="Figures"),
        log:
            PATHS.log(f"figures/{NAME}"),
        # Figures take longest at the end of a run, so they start first.
        priority: 1
        localrule: True
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            **asked("figures", figure=NAME),
        params:
            study=STUDY_FILE,
            figure=NAME,
            software=software_of("figures"),
            settings=settings_of("figures", figure=NAME),
        shell:
            "minified figures {params.study:q} --figure {params.figure:q} > {log:q} 2>&1"
