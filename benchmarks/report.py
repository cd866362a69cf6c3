"""Tables and a plot of the measured costs."""

import csv
from pathlib import Path

JOB_COLUMNS = ("job", "against", "ours ms", "bare ms", "ratio", "limit", "within",
               "peak MB", "bare peak MB")  # fmt: skip


def job_row(job, ours, theirs, *peaks) -> tuple:
    """Return a table row with the seconds and the peak bytes of both functions of a job."""
    allowed = job.allowance + job.limit * theirs
    limit = f"{1000 * job.allowance:g} ms + {job.limit:g}" if job.allowance else f"{job.limit:g}"
    return (
        job.name,
        job.against,
        *(f"{1000 * seconds:.3g}" for seconds in (ours, theirs)),
        f"{ours / theirs:.2f}",
        limit,
        "yes" if ours <= allowed else "no",
        *(f"{peak / 1e6:.0f}" for peak in peaks),
    )


def markdown(rows) -> str:
    """Return a Markdown table. The first row is the header."""
    head, *body = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def write_csv(path: Path, rows) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def plot_costs(path: Path, costs: dict[str, dict[int, float]]) -> None:
    """Plot the microseconds per source of each method, against the number of sources."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # A fixed salt of the element ids makes the SVG file reproducible.
    mpl.rcParams["svg.hashsalt"] = "subpixal"
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for name, by_count in costs.items():
        ours = name.startswith("subpixal")
        axes.loglog(by_count.keys(), by_count.values(), "o-" if ours else "s--",
                    linewidth=2 if ours else 1, markersize=4, label=name)  # fmt: skip
    axes.set(xlabel="number of sources, at constant density", ylabel="µs per source")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    figure.savefig(path, metadata={"Date": None})
