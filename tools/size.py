"""Flash, RAM and stack per function of an exported image on a Cortex-M4, linked whole; fails when over budget.

    python tools/size.py [BUNDLE] [--json]

The image is the native engine and the core, with memory as a sketch would give it and no board code: a sketch's serial
driver and start-up come on top. Stack is what the compiler says of each function (-fstack-usage), not a sum.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

# The smallest board that a wearable would carry has 256 KB of flash and 32 KB of RAM: half is left to the application.
FLASH_BUDGET = 128 * 1024
RAM_BUDGET = 16 * 1024
STACK_BUDGET = 512  # bytes, of any one function

ARM = "arm-none-eabi-"
TARGET = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"]
FLAGS = [*TARGET, "-std=c99", "-Os", "-ffunction-sections", "-fdata-sections", "-fstack-usage", "-Wall", "-Wextra"]
LINK = ["--specs=nano.specs", "--specs=nosys.specs", "-nostartfiles", "-Wl,--gc-sections", "-Wl,-e,main"]

PROBE = """
#include "ecg_edge.h"
#include "ecg_models.h"
static uint8_t scratch[ECG_SCRATCH_BYTES] __attribute__((aligned(16)));
static int8_t window[ECG_WINDOW_BYTES];
static ecg_prepare_lead_t leads[ECG_MAX_LEADS];
static ecg_edge_config_t config;
static ecg_edge_t edge;
static volatile uint8_t port;
static uint32_t now_us(void *ctx) { (void)ctx; return port; }
static void write(void *ctx, const uint8_t *bytes, size_t n) { (void)ctx; while (n-- > 0u) { port = *bytes++; } }
int main(void)
{
    config.now_us = now_us; config.write = write; config.models = ecg_models; config.model_count = ecg_models_count;
    config.engine = ECG_ENGINE; config.boot = port; config.credit_samples = 64; config.board = ECG_BOARD;
    config.engine_version = ECG_ENGINE_VERSION;
    config.memory.scratch = scratch; config.memory.scratch_bytes = sizeof scratch;
    config.memory.window = window; config.memory.window_bytes = sizeof window;
    config.memory.leads = leads; config.memory.lead_count = ECG_MAX_LEADS;
    ecg_edge_init(&edge, &config);
    for (;;) { const uint8_t byte = port; ecg_edge_receive(&edge, &byte, 1); }
}
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Run a tool that must end well; return its stdout."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout


def measure(bundle: str, folder: Path) -> dict[str, int | dict[str, int]]:
    """Export, compile and link in `folder`; return bytes of flash, RAM, and stack per function."""
    export = "from ecg_edge.cli.app import main; main()"
    run(sys.executable, "-c", export, "export", bundle, "--out", folder / "fw", cwd=Path())
    source = folder / "fw" / "EcgEdge" / "src"
    (folder / "probe.c").write_text(PROBE)
    files = [*sorted(source.glob("*.c")), folder / "probe.c"]
    run(f"{ARM}gcc", *FLAGS, "-I", source, "-c", *files, cwd=folder)
    objects = [f"{file.stem}.o" for file in files]
    run(f"{ARM}gcc", *TARGET, *LINK, *objects, "-o", "image.elf", cwd=folder)
    text, data, bss = (int(word) for word in run(f"{ARM}size", "image.elf", cwd=folder).splitlines()[1].split()[:3])
    stack = {}
    for usage in folder.glob("*.su"):
        for line in usage.read_text().splitlines():
            place, size, _ = line.split("\t")
            stack[f"{place.rpartition(':')[2]} ({usage.stem})"] = int(size)
    return {"flash_bytes": text + data, "ram_bytes": data + bss, "stack_bytes": stack}


def main() -> None:
    """Print the sizes, and end with 3 when one is over its budget."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", nargs="?", default="ecg5")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sizes = measure(options.bundle, Path(folder))
    stack = sizes["stack_bytes"]
    assert isinstance(stack, dict)
    deepest = sorted(stack.items(), key=lambda item: -item[1])[:5]
    rows = [("flash", sizes["flash_bytes"], FLASH_BUDGET), ("RAM", sizes["ram_bytes"], RAM_BUDGET)]
    rows += [(f"stack of {name}", size, STACK_BUDGET) for name, size in deepest]
    if options.json:
        print(json.dumps(sizes, indent=2))
    else:
        for name, size, budget in rows:
            print(f"{name:<48} {size:>8,} of {budget:>8,} bytes")
    over = [name for name, size, budget in rows if isinstance(size, int) and size > budget]
    if over:
        print(f"over budget: {', '.join(over)}", file=sys.stderr)
        sys.exit(3)


if __name__ == "__main__":
    main()
