"""Everything that is checked before a version may come near an engine (law 4).

``preflight`` runs every check and reports all failures at once. A check that cannot run because an
earlier one names the cause, or because no base was given, is marked ``skipped``. A check that
crashes has failed. The checks by name, in the order of the report:

=========================  ======================================================================
``alias-name``             the alias means nothing else in a request's ``model``
``one-adapter``            it is clear which directory is the adapter
``files-present``          configuration and weights are there, regular and not empty
``no-pickle``              no file that runs code when it is read, training state aside
``allowed-files``          no other weights and no code; names what else is left out
``regular-files``          no links, devices or pipes
``total-size``             number of files and bytes
``adapter-config``         a JSON object of bounded size
``config-types``           switches are true or false, maps are maps
``peft-type``              LORA
``task-type``              CAUSAL_LM, or not stated
``rank``                   1 to the served maximum
``rank-pattern``           the same for every module of its own rank; simple patterns only
``alpha``                  finite, positive, and a sane scale
``alpha-pattern``          the same for every module of its own alpha
``target-modules``         a list of names or one pattern
``feature-*``              PEFT features that vLLM does not run
``unknown-features``       settings that this version does not know to be harmless
``safetensors-header``     consistent with itself and with the file
``safetensors-metadata``   of bounded size
``tensor-names``           only ``….lora_A.weight`` and ``….lora_B.weight``
``module-prefix``          ``base_model.model.`` before every module path
``no-embedding-lora``      neither embeddings nor the output head
``module-paths``           every full module path is a linear of the base
``layer-range``            no layer that the base does not have
``tensor-pairs``           every A has its B
``tensor-shapes``          A is (rank, in), B is (out, rank), exactly
``target-modules-agree``   tensors for all declared targets and for nothing else
``tensor-dtypes``          F32, F16 or BF16
``finite``                 no NaN and no infinity
``magnitude``              no absurd values
``effect``                 at least one pair that is not zero
``vocabulary``             no token that the base does not know
``manifest``               ``graftwork.json``, if there, is readable
``manifest-digest``        it names this content
``manifest-alias``         it names this alias
``manifest-facts``         its rank and target modules are the configuration's
``manifest-gate``          its gate result has the shape of ``adapters.evaluation``
``declared-base``          trained for the served base: by digest, else by name
``signature``              valid, and there if demanded
=========================  ======================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path

from adapters.errors import CheckResult
from adapters.format.base_model import BaseFacts
from adapters.format.files import reason
from adapters.format.preflight import config, directory, identity, tensors
from adapters.format.preflight.subject import (
    Finding,
    NotChecked,
    PreflightLimits,
    Report,
    Subject,
    clipped,
)

__all__ = ["CHECK_NAMES", "PreflightLimits", "Report", "preflight"]

_CHECKS: Mapping[str, Callable[[Subject], Finding]] = dict(
    chain(
        identity.NAMING.items(),
        directory.CHECKS.items(),
        config.CHECKS.items(),
        tensors.CHECKS.items(),
        identity.CHECKS.items(),
    )
)
CHECK_NAMES: tuple[str, ...] = tuple(_CHECKS)


def preflight(
    path: Path,
    base: BaseFacts | None,
    limits: PreflightLimits | None = None,
    *,
    alias: str | None = None,
) -> Report:
    """Run every check on the PEFT directory ``path``; never raises for what is in it.

    Without ``base`` the checks against it are skipped. ``alias`` is the name of the push.
    Hand in a private copy: a directory that others can still write to may change after its check.
    """
    subject = Subject(path, base, limits or PreflightLimits(), alias)
    return Report.of(_run(name, check, subject) for name, check in _CHECKS.items())


def _run(name: str, check: Callable[[Subject], Finding], subject: Subject) -> CheckResult:
    try:
        finding = check(subject)
    except NotChecked as why:
        return CheckResult(name=name, ok=True, skipped=True, message=f"not checked: {why}")
    except Exception as error:  # noqa: BLE001 - law 4: whatever a check trips over is refused
        return CheckResult(
            name=name,
            ok=False,
            found=clipped(f"{type(error).__name__}: {reason(error)}"),
            expected="a directory that can be checked",
            message="The check itself failed on this directory.",
        )
    return CheckResult(
        name=name,
        ok=finding.ok,
        found=clipped(finding.found),
        expected=clipped(finding.expected),
        items=finding.items,
        message=finding.message,
    )
