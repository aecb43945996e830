"""What every dashboard and panel has: made once here, so that no page has to remember it.

A dashboard has a stable uid, variables, a link to the others, marks for deployments and alerts, and a panel
that says how to read it. A panel has a unit, a sentence, a legend, and a word for "nothing there".
"""

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, text, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
# What a process exports itself. `namespace` is there on k3s only: .* fits a label that is not there, too.
MINE = 'namespace=~"$namespace",job=~"$job",instance=~"$instance"'
# What is recorded, or read from a server by every process.
HERE = 'namespace=~"$namespace"'
WIDTH = 24

GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"


def at(expr):
    """Writes out `$mine`, `$here` and `$rate`."""
    return expr.replace("$mine", MINE).replace("$here", HERE).replace("$rate", "$__rate_interval")


def share(part, whole):
    """Which share of a counter another is; 0 where there is no such series yet."""
    return f"sum(rate({part}[$rate])) / sum(rate({whole}[$rate])) or 0 * sum(rate({whole}[$rate]))"


def quantile(q, histogram, by="", labels="$mine", over="$rate"):
    """So much of a histogram lies below. Where nothing was measured there is no line, rather than no number."""
    by = f"{by}, le" if by else "le"
    return f"histogram_quantile({q}, sum by ({by}) (rate({histogram}_bucket{{{labels}}}[{over}]))) >= 0"


def queries(panel, exprs, instant):
    for number, (expr, legend) in enumerate(exprs):
        query = prometheus.Dataquery().expr(at(expr)).legend_format(legend).ref_id(chr(ord("A") + number))
        query = query.datasource(SOURCE)
        panel = panel.with_target(query.instant() if instant else query.range())
    return panel


def runbook(panel, name):
    if not name:
        return panel
    link = dashboard.DashboardLink(f"Runbook: {name}").type(models.DashboardLinkType.LINK)
    return panel.links([link.url(f"${{runbooks}}/{name}.md").target_blank(True)])


def steps(*colours):
    """green, (1, yellow), (5, red): green below 1, yellow from there, red from 5 on."""
    first, *others = colours
    all_steps = [models.Threshold(value=None, color=first)]
    all_steps += [models.Threshold(value=float(value), color=colour) for value, colour in others]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(all_steps)


def graph(title, say, unit, *exprs, width=8, none="nothing", alert=None, stacked=False, low=0, high=None):
    """Lines over time."""
    legend = common.VizLegendOptions().display_mode(common_models.LegendDisplayMode.TABLE)
    legend = legend.placement(common_models.LegendPlacement.BOTTOM).show_legend(True).calcs(["lastNotNull", "max"])
    tooltip = common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI)
    tooltip = tooltip.sort(common_models.SortOrder.DESCENDING)
    panel = timeseries.Panel().title(title).description(say).unit(unit).no_value(none).datasource(SOURCE)
    panel = panel.height(8).span(width).min(low).legend(legend).tooltip(tooltip).fill_opacity(8).line_width(1)
    panel = panel.show_points(common_models.VisibilityMode.NEVER)
    if high is not None:
        panel = panel.max(high)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL)).fill_opacity(40)
    return queries(runbook(panel, alert), exprs, instant=False)


def number(title, say, unit, expr, thresholds, width=4, none="nothing", alert=None, legend="", low=0):
    """One number, coloured by how bad it is; several if the query has several."""
    reduce = common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("")
    panel = stat.Panel().title(title).description(say).unit(unit).no_value(none).datasource(SOURCE).min(low)
    panel = panel.height(4).span(width).thresholds(steps(*thresholds)).reduce_options(reduce)
    panel = panel.color_mode(common_models.BigValueColorMode.VALUE).graph_mode(common_models.BigValueGraphMode.NONE)
    panel = panel.text_mode(common_models.BigValueTextMode.AUTO)
    return queries(runbook(panel, alert), [(expr, legend)], instant=True)


def row(title):
    return dashboard.Row(title)


def how_to_read(markdown):
    panel = text.Panel().title("").description("What is where on this page, and where to go on.")
    return panel.mode("markdown").content(markdown.strip()).height(5).span(WIDTH).transparent(True)


def choice(name, label, query):
    variable = dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(query)
    variable = variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(
        models.VariableSort.ALPHABETICAL_ASC
    )
    everything = models.VariableOption(text="All", value="$__all", selected=True)
    return variable.multi(True).include_all(True).all_value(".*").current(everything)


def mark(name, colour, expr):
    return dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(True).icon_color(colour).expr(expr)


def board(uid, title, say, read, *panels, choices=()):
    """A whole page; panels go from left to right, a row begins a new line."""
    page = dashboard.Dashboard(f"Maru / {title}").uid(f"maru-{uid}").description(say).tags(["maru"]).readonly()
    page = page.timezone("browser").time("now-1h", "now").refresh("30s").tooltip(models.DashboardCursorSync.CROSSHAIR)
    page = page.with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    page = page.with_variable(choice("namespace", "Namespace", "label_values(maru_build_info, namespace)"))
    page = page.with_variable(choice("job", "Job", 'label_values(maru_build_info{namespace=~"$namespace"}, job)'))
    instances = 'label_values(maru_build_info{namespace=~"$namespace",job=~"$job"}, instance)'
    page = page.with_variable(choice("instance", "Instance", instances))
    for name, label, query in choices:
        page = page.with_variable(choice(name, label, query))
    where = dashboard.TextBoxVariable("runbooks").label("Runbooks").default_value("/runbooks")
    where = where.description("Where observability/runbooks can be read: your repository's address, say.")
    page = page.with_variable(where)
    others = dashboard.DashboardLink("Maru").type(models.DashboardLinkType.DASHBOARDS).tags(["maru"])
    page = page.link(others.as_dropdown(True).include_vars(True).keep_time(True))
    here = f"maru_build_info{{{HERE}}}"
    began = f"count by (version, commit) ({here}) unless count by (version, commit) ({here} offset 2m)"
    page = page.annotation(mark("Deployments", BLUE, began))
    page = page.annotation(mark("Critical alerts", RED, f'ALERTS{{alertstate="firing",severity="critical",{HERE}}}'))
    for panel in panels:
        page = page.with_row(panel) if isinstance(panel, dashboard.Row) else page.with_panel(panel)
    built = page.with_row(row("How to read this")).with_panel(how_to_read(read)).build()
    for place, panel in enumerate(built.panels, start=1):
        panel.id_val = place
    return built
