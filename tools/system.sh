#!/usr/bin/env bash
# Make sure that system packages are there: with apt when root or sudo allows it, and else by saying the one line to run.
#
#   tools/system.sh gcc python3-venv ...
#
# A package counts as there when its probe below succeeds, wherever it came from.
set -euo pipefail

probe() {
    case "$1" in
        python3-venv) "${PYTHON:-python3}" -c 'import ensurepip, venv' ;;
        libclang-rt-14-dev) printf 'int LLVMFuzzerTestOneInput(void) { return 0; }\n' | clang -fsanitize=fuzzer -x c - -o /dev/null ;;
        libc6-dev) printf '#include <stdio.h>\n' | gcc -E - ;;
        libnewlib-arm-none-eabi) printf '#include <stdint.h>\n' | arm-none-eabi-gcc --specs=nano.specs -E - ;;
        gcc-arm-none-eabi) command -v arm-none-eabi-gcc ;;
        gcc-riscv64-unknown-elf) command -v riscv64-unknown-elf-gcc ;;
        picolibc-riscv64-unknown-elf) printf '#include <stdint.h>\n' | riscv64-unknown-elf-gcc --specs=picolibc.specs -E - ;;
        qemu-system-misc) command -v qemu-system-riscv32 ;;
        gcc-avr) command -v avr-gcc && command -v avr-g++ ;;
        avr-libc) printf '#include <avr/io.h>\n' | avr-gcc -mmcu=atmega2560 -E - ;;
        arduino-core-avr) test -d /usr/share/arduino/hardware/arduino/avr/cores ;;
        libsimavr-dev) printf '#include <simavr/sim_avr.h>\n' | gcc -E - ;;
        qemu-user-static) command -v qemu-aarch64-static ;;
        gcc-aarch64-linux-gnu) command -v aarch64-linux-gnu-gcc ;;
        libc6-dev-arm64-cross) printf '#include <stdio.h>\n' | aarch64-linux-gnu-gcc -E - ;;
        systemd) command -v systemd-analyze ;;
        gcc-arm-linux-gnueabihf) command -v arm-linux-gnueabihf-gcc ;;
        libc6-dev-armhf-cross) printf '#include <stdio.h>\n' | arm-linux-gnueabihf-gcc -E - ;;
        libelf-dev) printf '#include <libelf.h>\n' | gcc -E - ;;
        *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

missing=()
for package in "$@"; do
    probe "$package" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

install="apt-get install -y --no-install-recommends ${missing[*]}"
as_root=()
if [ "$(id -u)" != 0 ]; then
    if ! sudo -n true 2>/dev/null; then
        printf 'missing: %s. Run: sudo %s\n' "${missing[*]}" "$install" >&2
        exit 1
    fi
    as_root=(sudo -n)
fi
if ! command -v apt-get >/dev/null; then
    printf 'missing: %s, and this system has no apt-get to install them with\n' "${missing[*]}" >&2
    exit 1
fi
printf 'installing %s\n' "${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
# shellcheck disable=SC2086 # the words of the command
"${as_root[@]}" $install -qq >/dev/null

for package in "${missing[@]}"; do
    if ! probe "$package"; then
        printf '%s is installed, and still does not work\n' "$package" >&2
        exit 1
    fi
done
