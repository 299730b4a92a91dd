#!/usr/bin/env bash
# Builds kube-apiserver, kube-controller-manager and etcd: build.sh BIN
#
# Exactly the modules of go.sum are taken. Five minutes on two cores the first time; nothing is
# done where the three programs are there already. Needs Go 1.25 or later.
set -euo pipefail

readonly version=v1.35.4

say() { printf 'kubernetes: %s\n' "$*" >&2; }

case ${1:-} in
'' | -h | --help)
    echo 'Usage: testbed/kubernetes/build.sh BIN'
    echo "Builds kube-apiserver and kube-controller-manager $version and etcd 3.6.5 into the folder BIN."
    exit
    ;;
esac

mkdir -p "$1"
bin=$(cd "$1" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")"

# Go names a program after its package, which for etcd is `server`.
if [ -x "$bin/server" ] && [ ! -e "$bin/etcd" ]; then
    mv "$bin/server" "$bin/etcd"
fi
if [ -x "$bin/kube-apiserver" ] && [ -x "$bin/kube-controller-manager" ] && [ -x "$bin/etcd" ]; then
    say "$version is there"
    exit
fi
if ! command -v go >/dev/null; then
    say 'no Go here: install 1.25 or later (https://go.dev/doc/install)'
    exit 1
fi

say "building $version into $bin: some minutes"
part=$(mktemp -d "$bin/.part.XXXXXX")
trap 'rm -rf "$part"' EXIT
component=k8s.io/component-base/version
go build -mod=readonly -trimpath -o "$part/" -ldflags "-s -w -X $component.gitVersion=$version \
    -X $component.gitMajor=1 -X $component.gitMinor=35" tool
mv "$part/server" "$part/etcd"
# Only whole programs ever stand in BIN, whatever interrupts the build.
mv "$part"/* "$bin/"
