# bash completion for c2sctl(1)

_c2sctl_workers()
{
	"$@" --json workers 2>/dev/null | sed -n 's/^{"number":\([0-9]*\),.*/\1/p'
}

_c2sctl()
{
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' words='' i
	local ask=(c2sctl)

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-s)
			i=$((i + 1))
			ask=(c2sctl -s "${COMP_WORDS[i]}")
			;;
		--worker | --account | --address | --tls | -c | --folder | --days) i=$((i + 1)) ;;
		-*) ;;
		*)
			command=${COMP_WORDS[i]}
			break
			;;
		esac
	done
	case $previous in
	-s | -c)
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		return
		;;
	--worker) words=$(_c2sctl_workers "${ask[@]}") ;;
	--folder)
		mapfile -t COMPREPLY < <(compgen -d -- "$current")
		return
		;;
	--account | --address | --days) ;;
	--tls) words='TLSv1.3 TLSv1.2 none' ;;
	*)
		case $command in
		'') words='-s --json --help status workers sessions top trace kick drain reload config loglevel wait user cert' ;;
		sessions | top) words='--worker --account --address --tls --throttled --json' ;;
		status | workers | trace | reload | config) words='--json' ;;
		loglevel) words='error warning info debug' ;;
		drain) words=$(_c2sctl_workers "${ask[@]}") ;;
		cert) words='-c --folder --days --force --json' ;;
		user) [[ $previous == user ]] && words='add passwd del list' ;;
		esac
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -F _c2sctl c2sctl
