package profile

import "testing"

func TestHijackVariable(t *testing.T) {
	for name, want := range map[string]bool{
		"LD_PRELOAD": true, "DYLD_INSERT_LIBRARIES": true, "GLIBC_TUNABLES": true, "BASH_ENV": true, "ENV": true, "BASH_FUNC_ls%%": true,
		"NODE_OPTIONS": true, "npm_config_script_shell": true, "PYTHONPATH": true, "PERL5OPT": true, "RUBYOPT": true, "JAVA_TOOL_OPTIONS": true,
		"GIT_SSH_COMMAND": true, "GIT_CONFIG_COUNT": true, "GIT_ASKPASS": true, "GIT_SOMETHING_NEW": true,
		"SSH_AUTH_SOCK": true, "DBUS_SESSION_BUS_ADDRESS": true, "DOCKER_HOST": true, "XDG_RUNTIME_DIR": true, "TMUX": true,
		"GOFLAGS": true, "RUSTC_WRAPPER": true, "MAKEFLAGS": true, "LESSOPEN": true, "PROMPT_COMMAND": true,
		"": false, "TERM": false, "LANG": false, "LC_ALL": false, "PATH": false, "HOME": false, "ENVIRONMENT": false, "LDFLAGS": false,
		"GIT_AUTHOR_NAME": false, "GOPATH": false, "EDITOR": false, "ANTHROPIC_API_KEY": false,
	} {
		if got := HijackVariable(name); got != want {
			t.Errorf("HijackVariable(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestAPatternThatCoversAHijackVariable(t *testing.T) {
	for pattern, want := range map[string]bool{
		"*": true, "L*": true, "LD_P*": true, "GIT*": true, "GIT_AUTHOR_*": false, "GIT_A*": true, "NODE_*": true, "D*": true,
		"LC_*": false, "TERM*": false, "CLAUDE_*": false, "BASH_FUNC_x*": true,
	} {
		if _, got := passesHijack(pattern); got != want {
			t.Errorf("passesHijack(%q) = %v, want %v", pattern, got, want)
		}
	}
}

func TestSecrets(t *testing.T) {
	for name, want := range map[string]bool{
		"GITHUB_TOKEN": true, "AWS_SECRET_ACCESS_KEY": true, "DB_PASSWORD": true, "PGPASSWORD": true, "NPM_AUTH": true, "DATABASE_URL": true, "api_key": true,
		"TERM": false, "KEYBOARD": false, "TOKENIZERS_PARALLELISM": false, "AUTHOR": false, "LANG": false, "PATH": false,
	} {
		if got := SecretName(name); got != want {
			t.Errorf("SecretName(%q) = %v, want %v", name, got, want)
		}
	}
	for value, want := range map[string]bool{
		"ghp_abcdefghijklmnopqrstuvwxyz0123": true, "sk-ant-api03-abcdefghijklmnop": true, "AKIAABCDEFGHIJKLMNOP": true,
		"-----BEGIN RSA PRIVATE KEY-----": true, "https://me:secret@example.com/": true, "xoxb-1234567890-abc": true,
		"https://example.com:8080/": false, "--max-old-space-size=4096": false, "1": false, "task-list-of-things-to-do": false,
	} {
		if got := SecretValue(value); got != want {
			t.Errorf("SecretValue(%q) = %v, want %v", value, got, want)
		}
	}
}
