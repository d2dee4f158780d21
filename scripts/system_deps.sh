#!/usr/bin/env bash
# Install the tools that `make test-system` needs: systemd-analyze, gcc and strace (apt), buf, ethers and anvil (npm,
# under build/node), and web3.py in an environment of its own (build/web3).
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
command -v systemd-analyze >/dev/null || missing+=(systemd)
command -v npm >/dev/null || missing+=(nodejs npm)
command -v gcc >/dev/null || missing+=(gcc libc6-dev)
command -v strace >/dev/null || missing+=(strace)
if ((${#missing[@]})); then
    sudo=()
    if ((EUID != 0)); then
        sudo=(sudo)
    fi
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

mkdir -p build/node
if ! cmp -s configs/node/package-lock.json build/node/package-lock.json; then
    cp configs/node/package.json build/node/package.json
    cp configs/node/package-lock.json build/node/package-lock.json
    (cd build/node && npm ci --no-audit --no-fund --loglevel=error) || {
        rm -f build/node/package-lock.json # so that the next run tries again
        exit 1
    }
fi

if ! cmp -s configs/web3.lock build/web3/web3.lock; then
    python3 -m venv --clear build/web3
    build/web3/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r configs/web3.lock
    ln -sf python build/web3/bin/web3-python # the name under which tests look for it
    cp configs/web3.lock build/web3/web3.lock
fi
build/node/node_modules/.bin/anvil --version | head -n 1
echo "buf $(build/node/node_modules/@bufbuild/buf-linux-x64/bin/buf --version), $(systemd-analyze --version | head -n 1)"
