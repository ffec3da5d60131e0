"""`graftwork plan`: how many GPUs, replicas and routers a demand needs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from serving.cli.output import emit, fail, table


def plan(  # noqa: PLR0913, PLR0917 - one parameter for each option
    requests_per_s: Annotated[float, typer.Option("--rps", help="requests/s at the peak")],
    seconds: Annotated[float, typer.Option(help="mean time of a request, seconds")],
    replica_rps: Annotated[
        float, typer.Option(help="requests/s of one engine replica, measured at your latency")
    ],
    adapters: Annotated[int, typer.Option(min=0, help="adapters that callers use")] = 0,
    copies: Annotated[
        int | None, typer.Option(min=1, help="replicas that hold each adapter; default: all")
    ] = None,
    zipf: Annotated[
        float, typer.Option(min=0, help="popularity: 0 all alike, 1 like words, 2 few take all")
    ] = 1.0,
    concurrent: Annotated[int, typer.Option(min=1, help="target_ongoing_requests")] = 32,
    max_loras: Annotated[int, typer.Option(min=1, help="engine.max_loras")] = 8,
    max_cpu_loras: Annotated[int, typer.Option(min=1, help="engine.max_cpu_loras")] = 64,
    adapter_mib: Annotated[float, typer.Option(min=0, help="one adapter's weights, MiB")] = 80.0,
    load_s: Annotated[float, typer.Option(min=0, help="one load into one replica, s")] = 0.3,
    gpus: Annotated[int, typer.Option(min=1, help="GPUs of one replica")] = 1,
    gpus_per_node: Annotated[int, typer.Option(min=1, help="GPUs of one node")] = 1,
    gpu_usd_per_hour: Annotated[float, typer.Option(min=0, help="price of a GPU")] = 0.0,
    router_rps: Annotated[
        float, typer.Option(help="requests/s of one router on one core, measured")
    ] = 500.0,
    utilisation: Annotated[float, typer.Option(help="share of measured rates planned with")] = 0.7,
    spare: Annotated[int, typer.Option(min=0, help="replicas that may be lost")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say how many GPUs, replicas and routers a demand needs, and what will be tight."""
    from serving.operations.plan import EngineCapacity, Impossible, PeakDemand, Site
    from serving.operations.plan import plan as planned

    demand = PeakDemand(requests_per_s, seconds, adapters, zipf, copies)
    engine = EngineCapacity(
        replica_rps, concurrent, gpus, max_loras, max_cpu_loras, adapter_mib, load_s
    )
    site = Site(utilisation, spare, router_rps, gpus_per_node, gpu_usd_per_hour)
    try:
        found = planned(demand, engine, site)
    except Impossible as error:
        fail(str(error))
    if as_json:
        emit(asdict(found))
        return
    rows = [
        ("engine replicas", f"{found.replicas} (for {found.because}, {spare} to spare)"),
        ("GPUs, nodes", f"{found.gpus}, {found.nodes}"),
        ("router replicas", found.routers),
        ("requests under way", f"{found.in_flight:.0f}"),
        ("adapters per replica", found.per_replica),
        ("adapter requests that find it resident", f"{found.resident_share:.1%}"),
        ("adapters under way per replica", f"{found.distinct_in_batch:.1f} of {max_loras} slots"),
        ("GPU memory for slots, GiB per replica", f"{found.slots_mib / 1024:.1f}"),
        ("host memory for adapters, GiB per replica", f"{found.host_mib / 1024:.1f}"),
        ("time of a publish, s", f"{found.publish_s:.1f}"),
    ]
    if gpu_usd_per_hour:
        rows.append(("GPUs, USD a month", f"{found.usd_per_month:,.0f}"))
    table(("what", "how much"), rows)
    for warning in found.warnings:
        typer.echo(f"note: {warning}", err=True)
