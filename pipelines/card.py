"""The model card of a bundle."""

from pipelines.bundle import Manifest
from pipelines.tasks.task import Evaluation


def model_card(manifest: Manifest, evaluation: Evaluation, counts: dict[str, dict[str, int]]) -> str:
    """Markdown: what the model is, what it was trained on, how good it is and what it is not for."""
    base, adapter = manifest.base, manifest.adapter
    share = 100 * manifest.trainable_parameters / manifest.parameters
    how = (
        f"low-rank updates (rank {adapter['rank']}, alpha {adapter['alpha']:g}) of "
        f"{', '.join(adapter['projections'])}"
        if adapter
        else "training of its own weights"
    )
    split = manifest.data["evaluation_split"]
    rows = [
        f"| {name} | {interval.value:.1f} | {interval.low:.1f} – {interval.high:.1f} |"
        for name, interval in evaluation.metrics.items()
    ]
    slices = [
        f"| {name.replace('=', ': ')} | {evaluation.sizes[name]} | {i.value:.1f} "
        f"| {i.low:.1f} – {i.high:.1f} |"
        for name, i in evaluation.slices.items()
    ]
    parity = manifest.parity
    lines = [
        f"# {manifest.name}",
        "",
        f"{manifest.task['name'].capitalize()} model made by aasaan from the base `{base['name']}` "
        f"({base['source']}, sha256 `{base['sha256'][:12]}…`) by {how}: "
        f"{manifest.trainable_parameters:,} of {manifest.parameters:,} parameters trained ({share:.1f} %).",
        "",
        f"Labels: {', '.join(manifest.task.get('labels', []))}. "
        f"Texts are cut at {manifest.task.get('max_length')} tokens.",
        "",
        "## Data",
        "",
        f"{manifest.data['source']}, fingerprint `{manifest.data['fingerprint'][:12]}…`.",
        "",
        *(f"- {name}: " + ", ".join(f"{n} {label}" for label, n in c.items()) for name, c in counts.items()),
        "",
        f"## Results on the {split} split",
        "",
        "In points (0–100), with bootstrap intervals over the examples.",
        "",
        "| metric | value | interval |",
        "|---|---|---|",
        *rows,
        "",
    ]
    if slices:
        lines += ["| accuracy on | examples | value | interval |", "|---|---|---|---|", *slices, ""]
    lines += [
        "## The served graph",
        "",
        f"ONNX in {parity['precision']}. {parity['metric']} on {parity['examples']} validation examples: "
        f"{parity['trained']:.2f} in PyTorch, {parity['fp32']:.2f} in fp32"
        + (f", {parity['int8']:.2f} in int8" if parity["int8"] is not None else "")
        + ".",
        "",
        "## Limits",
        "",
        "It knows the language, the domains and the labels of its training data and no others. The "
        "intervals above speak of examples like those; test it on yours "
        "(`aasaan evaluate MODEL --data FILE`) before you rely on it, and do not decide about people by it.",
        "",
    ]
    return "\n".join(lines)
