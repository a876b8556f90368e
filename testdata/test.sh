#!/bin/sh
# Checks everything: formatting, vet, staticcheck, the builds for other systems, and all tests against the real peers.
# As root it installs the Debian packages that the tests need; otherwise it names those that are missing, and the tests
# that need them skip. Where CI is set nothing may be missing.
set -eu
cd "$(dirname "$0")/.."

packages="aggregate apache2-bin ca-certificates fail2ban galera-4 gcc haproxy iproute2 ipset iprange libc6-dev
mariadb-client mariadb-server nftables nginx openssh-client openssh-server postgresql python3 rsync sqlite3 strace util-linux"

say() { printf '\n== %s\n' "$*"; }

missing=
for package in $packages; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || :)
	[ "$status" = installed ] || missing="$missing $package"
done
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	say "apt-get install$missing"
	# The tests start what they need by themselves: no service may start here.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
	fi
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq update
	# shellcheck disable=SC2086 # one word a package
	apt-get -qq -o Dpkg::Use-Pty=0 install --no-install-recommends $missing
elif [ -n "$missing" ]; then
	say "missing, so some tests skip; install as root: apt-get install$missing"
	[ -z "${CI:-}" ] || exit 1
fi

say gofmt
unformatted=$(gofmt -l .)
[ -z "$unformatted" ] || { echo "not formatted: $unformatted"; exit 1; }

say vet and staticcheck
packages="./... ./testdata/bare ./testdata/bench" # patterns leave testdata out
go vet $packages
go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 $packages

# The other systems build; what needs Linux says so when it is called.
say builds
export CGO_ENABLED=0
for target in linux/amd64 linux/arm64 freebsd/amd64 darwin/arm64; do
	echo "$target"
	GOOS=${target%/*} GOARCH=${target#*/} go build -o /dev/null .
done
GOOS=linux GOARCH=arm64 go vet ./...
GOOS=freebsd GOARCH=amd64 go vet ./...

say tests
CGO_ENABLED=1 go test -race -timeout 25m ./...
