# In bash, for test_debian and test_systemd: steps that are printed and that end everything when they fail, and a fresh
# root of the machine's own release, in memory, with all that the package depends on. Sourced in the source's folder,
# with the test's folder in $folder.
# shellcheck shell=bash
root=$folder/root
log=$folder/log
step=
exec 3>&1

step()
{
	step=$*
	printf '   %3d s  %s\n' "$(($(date +%s) - C2SD_BEGIN))" "$step"
}

# True when the command is not: `! command` alone never ends a script.
not()
{
	if "$@"; then return 1; fi
}

# What the command says belongs into the log.
quietly()
{
	printf '# %s\n' "$*" >>"$log"
	"$@" >>"$log" 2>&1
}

failed()
{
	trap - ERR
	{
		tail -n 20 "$log"
		printf 'failed: %s: line %s: %s\n' "$step" "$1" "$2"
	} >&3
	exit 1
}
trap 'failed "${BASH_LINENO[*]} $LINENO" "$BASH_COMMAND"' ERR

in_root()
{
	env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive \
	    ${http_proxy:+http_proxy="$http_proxy"} chroot "$root" "$@"
}

# The mirror that this machine uses for its release; nothing where there is none: then debootstrap knows one.
mirror()
{
	apt-get indextargets --format '$(REPO_URI)' "Codename: $1" 'Created-By: Packages' | sed -n 1p
}

debootstrap_root()
{
	local release

	release=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
	# shellcheck disable=SC2046
	debootstrap --variant=minbase "$release" "$root" $(mirror "$release")
}

make_root()
{
	if [ -n "$(find "$folder" -maxdepth 1 -name root.tar -mtime -1)" ]; then
		tar -x -C "$root" -f "$folder/root.tar"
		return
	fi
	debootstrap_root
	tar -c -C "$root" -f "$folder/root.tar.new" .
	mv "$folder/root.tar.new" "$folder/root.tar"
}

# In memory, because dpkg waits for the disk after each file.
mount_root()
{
	mkdir -p "$root"
	mount -t tmpfs -o mode=755,size=2g c2sd-root "$root"
}

# PROGRAM...: or there is nothing to be done here.
need_programs()
{
	local program

	for program in "$@"; do
		PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null && continue
		printf 'skipped: no %s\n' "$program"
		exit 77
	done
	[ "$(id -u)" -eq 0 ] || { printf 'skipped: not root\n'; exit 77; }
}

# Through what the machine itself reaches its mirror.
use_proxy()
{
	local proxy

	eval "$(apt-config shell proxy Acquire::http::Proxy)"
	[ -z "${proxy-}" ] || export http_proxy=$proxy
}

# PACKAGE...: those, and what the package depends on; a client; the package itself as /srv/c2sd.deb.
furnish_root()
{
	local extra

	cp "$folder"/package/*.deb "$root/srv/c2sd.deb"
	cc -O1 -o "$folder/chat" tests/quickstart/chat.c -lssl -lcrypto
	printf 'Dpkg::Use-Pty "0";\n' >"$root/etc/apt/apt.conf.d/no-pty"
	mount -t proc proc "$root/proc"
	cp -L /etc/resolv.conf "$root/etc/resolv.conf"
	extra=$(printf ', %s' "$@")
	quietly in_root apt-get satisfy -y --no-install-recommends \
	    "$(dpkg-deb -f "$root/srv/c2sd.deb" Pre-Depends), $(dpkg-deb -f "$root/srv/c2sd.deb" Depends)$extra"
}

configuration=/etc/c2sd/c2sd.xml

# Until that command succeeds, 20 seconds at most.
until_true()
{
	local tries=200

	until "$@"; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.1
	done
}

# PATH OWNER:GROUP MODE
is_owned()
{
	[ "$(in_root stat -c '%U:%G %a' "$1")" = "$2 $3" ]
}

# The configuration with that line instead of its listener.
configure_listener()
{
	local file=$root/etc/c2sd/c2sd.xml

	# In place, as an editor that keeps owner and mode.
	sed "s|^  <listen .*|  $1|" "$file" >"$folder/edited.xml"
	cat "$folder/edited.xml" >"$file"
}
