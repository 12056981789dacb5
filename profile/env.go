package profile

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Names that end in "*" stand for every name with that beginning.

// loaderVariables act on every program before its first instruction, or on
// agentbox's own start; they are never set.
var loaderVariables = []string{
	"LD_*", "DYLD_*", "GLIBC_TUNABLES", "GCONV_PATH", "GETCONF_DIR", "LOCPATH", "NLSPATH", "_LIBCONTAINER_*",
}

// hijackVariables make a runtime, a shell or a tool run or load something else,
// or lead to a socket or agent of the host.
var hijackVariables = []string{
	// the resolver
	"HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS", "RESOLV_HOST_CONF", "NIS_PATH",
	// shells
	"BASH_ENV", "ENV", "BASH_FUNC_*", "BASH_XTRACEFD", "BASHOPTS", "SHELLOPTS", "PS4", "PROMPT_COMMAND", "IFS",
	"CDPATH", "GLOBIGNORE", "ZDOTDIR", "FPATH", "INPUTRC",
	// language runtimes
	"PYTHONSTARTUP", "PYTHONPATH", "PYTHONHOME", "PYTHONINSPECT", "PYTHONBREAKPOINT", "PYTHONUSERBASE",
	"PYTHONEXECUTABLE", "PYTHONPLATLIBDIR", "PYTHONPYCACHEPREFIX", "PYTHONWARNINGS",
	"NODE_OPTIONS", "NODE_PATH", "NODE_REPL_EXTERNAL_MODULE", "ELECTRON_RUN_AS_NODE", "BUN_OPTIONS", "DENO_*",
	"NPM_CONFIG_*", "npm_config_*", "YARN_*",
	"PERL5OPT", "PERL5LIB", "PERLLIB", "PERL5DB", "RUBYOPT", "RUBYLIB", "GEM_PATH", "GEM_HOME", "BUNDLE_*",
	"JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH", "MAVEN_OPTS", "MAVEN_ARGS", "GRADLE_OPTS",
	"SBT_OPTS", "DOTNET_STARTUP_HOOKS", "DOTNET_ADDITIONAL_DEPS", "CORECLR_*", "COR_*",
	"GOFLAGS", "GOENV", "GOTOOLCHAIN", "GOAUTH", "RUSTC", "RUSTC_*", "RUSTFLAGS", "RUSTDOC", "CARGO_BUILD_*", "CARGO_TARGET_*",
	"PHPRC", "PHP_INI_SCAN_DIR", "LUA_INIT*", "LUA_PATH*", "LUA_CPATH*", "R_PROFILE*", "R_ENVIRON*", "JULIA_LOAD_PATH",
	"ERL_*", "ELIXIR_*", "GUILE_LOAD_PATH", "TCLLIBPATH", "AWKPATH", "AWKLIBPATH",
	"GTK_MODULES", "GTK_PATH", "GIO_*", "QT_PLUGIN_PATH", "OPENSSL_CONF", "OPENSSL_MODULES", "OPENSSL_ENGINES", "SSLKEYLOGFILE",
	// tools that run what a variable says
	"MAKEFLAGS", "MFLAGS", "GNUMAKEFLAGS", "MAKEFILES", "LESSOPEN", "LESSCLOSE", "VIMINIT", "EXINIT", "EMACSLOADPATH",
	"SVN_SSH", "CVS_RSH", "RSYNC_RSH", "HGRCPATH", "SSH_ASKPASS", "SUDO_*",
	// agents, sockets and daemons of the host
	"SSH_AUTH_SOCK", "SSH_AGENT_PID", "GPG_AGENT_INFO", "GNUPGHOME", "GNOME_KEYRING_CONTROL", "DBUS_*",
	"DOCKER_*", "CONTAINER_HOST", "BUILDKIT_HOST", "PODMAN_*", "KUBECONFIG", "LIBVIRT_DEFAULT_URI",
	"XDG_RUNTIME_DIR", "DISPLAY", "WAYLAND_*", "XAUTHORITY", "PULSE_SERVER", "SWAYSOCK", "I3SOCK", "NOTIFY_SOCKET", "LISTEN_*",
	"TMUX", "TMUX_TMPDIR", "STY", "VSCODE_*", "KITTY_LISTEN_ON", "WEZTERM_UNIX_SOCKET", "ALACRITTY_SOCKET", "NVIM", "NVIM_LISTEN_ADDRESS",
	"ACTIONS_*",
}

// harmlessGit are the GIT_ variables that name no program, file or setting; every
// other one is a hijack variable, for git grows new ones.
var harmlessGit = []string{"GIT_AUTHOR_*", "GIT_COMMITTER_*", "GIT_TERMINAL_PROMPT", "GIT_OPTIONAL_LOCKS", "GIT_PS1_*"}

// HijackVariable reports whether a variable of this name can make a loader, a
// runtime or a tool run something else, or leads out of the box. It is never
// taken from the caller's environment.
func HijackVariable(name string) bool {
	if strings.HasPrefix(name, "GIT_") {
		return !matchesName(harmlessGit, name)
	}
	return loaderVariable(name) || matchesName(hijackVariables, name)
}

// loaderVariable reports whether a variable may not even be set in agent.env.
func loaderVariable(name string) bool { return matchesName(loaderVariables, name) }

func matchesName(list []string, name string) bool {
	return slices.ContainsFunc(list, func(p string) bool {
		prefix, wild := strings.CutSuffix(p, "*")
		return name == p || wild && strings.HasPrefix(name, prefix)
	})
}

// passesHijack returns a hijack variable that an env_pass pattern would let in.
func passesHijack(pattern string) (string, bool) {
	prefix, wild := strings.CutSuffix(pattern, "*")
	if !wild {
		return pattern, HijackVariable(pattern)
	}
	if strings.HasPrefix("GIT_SSH_COMMAND", prefix) {
		return "GIT_SSH_COMMAND", true
	}
	if HijackVariable(prefix) {
		return prefix + "…", true
	}
	for _, p := range slices.Concat(loaderVariables, hijackVariables) {
		if strings.HasPrefix(p, prefix) {
			return p, true
		}
	}
	return "", false
}

// lazily compiles an expression when it is first needed: every start of a box
// loads this package twice, and most expressions serve keys that are not set.
func lazily(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

var (
	secretWord = lazily(`(?i)(^|_)(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|KEY|APIKEY|CREDENTIALS?|CREDS|AUTH|PRIVATE|PAT)(_|$)`)
	secretName = lazily(`(?i)(^(DATABASE_URL|DB_URI|CONNECTION_STRING|MONGO_URL|REDIS_URL)$|(^|_)WEBHOOK_URL$|PASSWORD$|TOKEN$|SECRET$|APIKEY$)`)
)

// envName reports whether s can name a variable.
func envName(s string) bool {
	for i, r := range s {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// SecretName reports whether a variable of this name probably holds a secret.
func SecretName(name string) bool {
	return secretWord().MatchString(name) || secretName().MatchString(name)
}

var secretValue = lazily(strings.Join([]string{
	`-----BEGIN [A-Z ]*PRIVATE KEY`,
	`\b(gh[pousr]_|github_pat_|glpat-)[A-Za-z0-9_-]{16,}`,
	`\bsk-[A-Za-z0-9_-]{16,}`,
	`\b[sr]k_live_[A-Za-z0-9]{10,}`,
	`\b(AKIA|ASIA)[A-Z0-9]{16}\b`,
	`\bAIza[A-Za-z0-9_-]{30,}`,
	`\bxox[abprs]-[A-Za-z0-9-]{10,}`,
	`\bnpm_[A-Za-z0-9]{30,}`,
	`\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.`,
	`[a-zA-Z][a-zA-Z0-9+.-]*://[^/\s:@]*:[^/\s@]+@`,
}, "|"))

// SecretValue reports whether a text looks like a key, a token or a password.
func SecretValue(s string) bool { return secretValue().MatchString(s) }
