package shell

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// expansion notices those of variables in which bash runs what is in the variable.
func (a *analyzer) expansion(p *syntax.ParamExp) {
	if p.Excl || p.Exp != nil && p.Exp.Op == syntax.OtherParamOps {
		a.unclear("it expands a variable twice, so its content may run programs: use the plain value")
	}
}

// evaluated notices quoted texts that bash takes for arithmetic, where an index may run programs ("a[$(id)]").
func (a *analyzer) evaluated(n syntax.Node) {
	syntax.Walk(n, func(n syntax.Node) bool {
		if w, ok := n.(*syntax.Word); ok {
			a.index(word(w))
		}
		return true
	})
}

func (a *analyzer) index(w Word) {
	if w.Literal && runs(w.Text) {
		a.unclear("a quoted text has a command in it that bash may run later: leave it out")
	}
}

func runs(text string) bool {
	return strings.Contains(text, "$(") || strings.Contains(text, "`") || strings.Contains(text, "${")
}

// value looks at what a variable gets: it may be the name of a file, or be run when it is expanded.
func (a *analyzer) value(w *syntax.Word) {
	if w == nil {
		return
	}
	v := word(w)
	a.index(v)
	if v.Text != "" {
		a.out.Files = append(a.out.Files, File{Word: v, Access: Read})
	}
}

// evaluating builtins take their arguments for names of variables, with an index that bash evaluates.
var evaluating = []string{"[", "declare", "export", "getopts", "let", "local", "mapfile", "printf", "read", "readarray", "readonly", "test", "typeset", "unset", "wait"}

// assigned notices variables that decide which program runs, or what it loads.
func (a *analyzer) assigned(name string) {
	if slices.Contains(hijackers, name) || strings.HasPrefix(name, "LD_") || strings.HasPrefix(name, "BASH_FUNC_") || strings.HasPrefix(name, "GIT_CONFIG") {
		a.unclear("it sets %s, which decides what other programs run or load: leave that out", name)
	}
}

var hijackers = []string{
	"PATH", "IFS", "ENV", "BASH_ENV", "PROMPT_COMMAND", "PS4", "SHELLOPTS", "BASHOPTS", "SHELL", "CDPATH", "HOME",
	"PAGER", "MANPAGER", "EDITOR", "VISUAL", "BROWSER", "LESSOPEN", "LESSCLOSE", "LESS",
	"GIT_EXEC_PATH", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR", "GIT_ASKPASS", "GIT_PROXY_COMMAND",
	"GIT_DIR", "GIT_WORK_TREE", "GIT_TEMPLATE_DIR", "SSH_ASKPASS", "SUDO_ASKPASS", "RSYNC_RSH", "CVS_RSH", "TAR_OPTIONS", "MAKEFLAGS", "MAKEFILES",
	"PYTHONSTARTUP", "PYTHONPATH", "PYTHONHOME", "PYTHONINSPECT", "PERL5OPT", "PERL5LIB", "PERL5DB", "RUBYOPT", "RUBYLIB", "NODE_OPTIONS", "NODE_PATH",
	"JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH", "npm_config_script_shell", "NPM_CONFIG_SCRIPT_SHELL", "GOFLAGS", "RUSTC_WRAPPER", "CC", "CXX",
}
