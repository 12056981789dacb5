#compdef agentbox
# Completion of agentbox for zsh: source <(agentbox completion zsh), or this file as _agentbox in a directory of fpath.
# What it asks is the agentbox of PATH, not the word on the command line: pressing a key must not start a program of
# the current directory. No candidate is ever expanded or evaluated.
_agentbox() {
	local -a asked lines described plain
	local kind line word about
	asked=("${(@)words[1,CURRENT-1]}")
	if [[ $PREFIX == --*=* ]]; then
		asked+=("${PREFIX%%=*}" '=' "${PREFIX#*=}")
		compset -P '*='
	else
		asked+=("$PREFIX")
	fi
	lines=("${(@f)$(command agentbox completion words "${(@)asked}" 2>/dev/null)}")
	kind=${lines[1]#:}
	for line in "${(@)lines[2,-1]}"; do
		word=${line%%$'\t'*} about=${line#*$'\t'}
		if [[ -n $about ]]; then
			described+=("${word}:${about}")
		else
			plain+=("$word")
		fi
	done
	if (($#described)); then
		_describe -V agentbox described
	fi
	if (($#plain)); then
		compadd -a plain
	fi
	case $kind in
	files) _files ;;
	dirs) _files -/ ;;
	'command '*)
		shift "${kind#command }" words
		((CURRENT -= ${kind#command }))
		_normal
		;;
	esac
}
if [[ $funcstack[1] == _agentbox ]]; then
	_agentbox "$@"
else
	compdef _agentbox agentbox
fi
