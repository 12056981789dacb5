package hook

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"agentbox/internal/hook/shell"
)

// A danger is a kind of command that every profile knows.
type danger struct {
	name   string
	reason string // what to do instead
	is     func(c call, cmd shell.Command) bool
}

// dangers are looked at for each command of a line; permissions.dangerous says what becomes of them.
var dangers = []danger{
	// Destructive.
	{"recursive-delete", "it would delete a whole home, the root or the workspace. Name the directories that you made, one by one.", recursiveDelete},
	{"disk", "it writes to a disk or makes a file system. Nothing in this project needs that.", disk},
	{"recursive-mode", "it would change the modes or the owner of everything. Name the files.", recursiveMode},
	{"forced-push", "it would overwrite or delete what others have in the remote repository. Push without force, or ask the person.", forcedPush},
	{"infrastructure", "it would destroy what runs elsewhere. Ask the person to do it.", infrastructure},
	{"publishing", "it would publish a package. Ask the person to do it.", publishing},
	// Exfiltrating.
	{"upload", "it would send a file to another host. Show the content instead, or ask the person.", upload},
	{"raw-connection", "it opens a connection of its own. Use a client for the protocol that you need.", named("nc", "ncat", "netcat", "socat", "telnet", "ngrok", "cloudflared", "chisel")},
	{"tunnel", "it opens a tunnel or copies files to another host. Ask the person to do it.", tunnel},
	{"download-and-run", "it would run what it downloads. Save it to a file, read it, and then run that file.", downloadAndRun},
	// Persistence.
	{"scheduled", "it would run something later, without you. Run it now, in the foreground.", named("crontab", "at", "batch", "systemd-run", "systemctl", "launchctl", "update-rc.d", "chkconfig")},
	{"git-program", "it would have git run a program from now on. Leave the configuration of git as it is, and run the program itself.", gitProgram},
	// Privilege.
	{"privilege", "it asks for the rights of another user, which this box does not give. Do it without, or ask the person.", named("sudo", "su", "doas", "pkexec", "runuser", "setpriv", "chroot", "unshare", "nsenter", "mount", "umount", "insmod", "modprobe", "rmmod", "setcap", "capsh", "useradd", "usermod", "userdel", "adduser", "passwd", "chpasswd", "visudo", "kexec", "sysctl", "iptables", "nft")},
	{"setuid", "it would make a program that runs with the rights of another user. Use an ordinary mode.", setuid},
	{"privileged-container", "it would start a container that can reach the host. Start it without these options.", privilegedContainer},
	// Tampering with the policy.
	{"agent-settings", "it would start an agent without its rules. Go on in this session.", otherAgent},
	{"hook", "the box's own programs are not for you to stop or to call.", ownPrograms},
	{"history", "it would hide what was done. Leave the history as it is.", history},
}

// Dangers are the names of the default rules about commands, with what the agent is told.
func Dangers() [][2]string {
	list := make([][2]string, 0, len(dangers)+1)
	for _, d := range dangers {
		list = append(list, [2]string{d.name, d.reason})
	}
	return append(list, [2]string{"startup-file", startupReason})
}

func (c call) dangerousLine(a shell.Analysis) (Answer, bool) {
	if c.p.o.Dangerous == Allow {
		return Answer{}, false
	}
	dirs, _ := c.wanders(a)
	for _, dir := range dirs {
		at := c
		at.Dir = dir
		for _, cmd := range a.Commands {
			if i := slices.IndexFunc(dangers, func(d danger) bool { return d.is(at, cmd) }); i >= 0 {
				return c.danger(dangers[i].name, dangers[i].reason), true
			}
		}
	}
	for _, f := range a.Files {
		name := pathText(f.Word)
		if f.Access == shell.Write && (strings.HasPrefix(name, "/dev/tcp/") || strings.HasPrefix(name, "/dev/udp/")) {
			return c.danger("raw-connection", "it opens a connection of its own. Use a client for the protocol that you need."), true
		}
	}
	for _, r := range touches(a) {
		if r.writing && c.startup(r.name) {
			return c.danger("startup-file", startupReason), true
		}
	}
	return Answer{}, false
}

func (c call) danger(name, reason string) Answer {
	return Answer{Verdict: c.p.o.Dangerous, Rule: "default: " + name, Reason: "this is known as dangerous (" + name + "): " + reason}
}

const startupReason = "this file is run or read by other programs later, or says what an agent may do. Tell the person what you would change in it."

// startupNames are files that decide what runs later, or what an agent may do.
var startupNames = regexp.MustCompile(`(?i)/(\.(bashrc|bash_profile|bash_login|bash_logout|profile|zshrc|zshenv|zprofile|zlogin|kshrc|cshrc|login|xprofile|xinitrc|pam_environment|npmrc|pypirc|netrc|gitconfig)|\.ssh/(authorized_keys2?|config|rc)|\.config/(autostart|systemd|fish|git)/.*|\.git/(hooks/.*|config|info/attributes)|\.claude/(settings[^/]*\.json|hooks/.*|agents/.*|commands/.*)|\.claude\.json|\.mcp\.json|\.codex/(config\.toml|hooks.*)|agentbox\.toml)$|^/etc/(cron.*|profile.*|ld\.so\..*|sudoers.*|passwd|shadow|pam\.d/.*|systemd/.*|claude-code/.*)|^/var/spool/cron/`)

// startup reports such a file.
func (c call) startup(name string) bool {
	for _, full := range c.full(name) {
		real, err := c.resolver.Resolve(full)
		if startupNames.MatchString(full) || err == nil && startupNames.MatchString(real) {
			return true
		}
	}
	return false
}

// dangerousWrite is the same for the tools that write.
func (c call) dangerousWrite() (Answer, bool) {
	if c.p.o.Dangerous == Allow {
		return Answer{}, false
	}
	for _, r := range c.reached() {
		if r.writing && c.startup(r.name) {
			return c.danger("startup-file", startupReason), true
		}
	}
	return Answer{}, false
}

func named(names ...string) func(call, shell.Command) bool {
	return func(_ call, cmd shell.Command) bool { return slices.Contains(names, cmd.Name) }
}

// option reports a letter or a long option among the arguments.
func option(cmd shell.Command, letters string, long ...string) bool {
	return slices.ContainsFunc(cmd.Words[1:], func(w shell.Word) bool {
		if strings.HasPrefix(w.Text, "--") {
			name, _, _ := strings.Cut(w.Text, "=")
			return slices.ContainsFunc(long, func(l string) bool { return len(name) > 3 && strings.HasPrefix(l, name) })
		}
		return strings.HasPrefix(w.Text, "-") && strings.ContainsAny(w.Text, letters)
	})
}

// whole reports a word that names a root, a home, the workspace or a directory above, or everything in one.
func (c call) whole(w shell.Word) bool {
	text := strings.TrimSuffix(pathText(w), "/*")
	if text == "*" || text == "." || text == "./" || text == "" || text == ".*" {
		return true
	}
	for _, full := range c.full(text) {
		above := full == "/" || strings.HasPrefix(c.p.o.Workspace+"/", full+"/") || strings.HasPrefix(c.p.o.Home+"/", full+"/")
		system := strings.Count(full, "/") == 1 && full != "/tmp" || slices.Contains([]string{"/usr/bin", "/usr/lib", "/var/lib"}, full)
		if above || system && !strings.HasPrefix(full, c.p.o.Workspace+"/") {
			return true
		}
	}
	return strings.Contains(text, "--no-preserve-root")
}

func recursiveDelete(c call, cmd shell.Command) bool {
	if cmd.Name == "git" {
		sub := gitCommand(cmd.Words[1:])
		return len(sub) > 0 && sub[0].Text == "clean" && slices.ContainsFunc(sub, func(w shell.Word) bool { return strings.HasPrefix(w.Text, "-") && strings.ContainsAny(w.Text, "xX") })
	}
	if cmd.Name == "find" {
		return deletesAll(c, cmd)
	}
	return cmd.Name == "rm" && option(cmd, "rR", "--recursive") && slices.ContainsFunc(cmd.Words[1:], c.whole)
}

// deletesAll reports a find that deletes what it finds, and looks for nothing in particular.
func deletesAll(c call, cmd shell.Command) bool {
	deletes, all, starts := false, true, true
	for _, w := range cmd.Words[1:] {
		starts = starts && !strings.HasPrefix(w.Text, "-") && w.Text != "!" && w.Text != "("
		switch {
		case starts:
			all = all && c.whole(w)
		case w.Text == "-delete":
			deletes = true
		case slices.Contains([]string{"-name", "-iname", "-path", "-ipath", "-regex", "-newer", "-mtime", "-mmin", "-empty", "-size", "-perm", "-user"}, w.Text):
			return false
		}
	}
	return deletes && all
}

func disk(_ call, cmd shell.Command) bool {
	if strings.HasPrefix(cmd.Name, "mkfs") || slices.Contains([]string{"wipefs", "fdisk", "sfdisk", "parted", "blkdiscard", "mkswap"}, cmd.Name) {
		return true
	}
	harmlessDevice := []string{"/dev/null", "/dev/stdout", "/dev/stderr", "/dev/zero", "/dev/tty"}
	return slices.Contains([]string{"dd", "shred", "cp", "tee"}, cmd.Name) && slices.ContainsFunc(cmd.Words[1:], func(w shell.Word) bool {
		name := strings.TrimPrefix(w.Text, "of=")
		return strings.HasPrefix(name, "/dev/") && !slices.Contains(harmlessDevice, name)
	})
}

func recursiveMode(c call, cmd shell.Command) bool {
	return slices.Contains([]string{"chmod", "chown", "chgrp"}, cmd.Name) && option(cmd, "R", "--recursive") && slices.ContainsFunc(cmd.Words[1:], c.whole)
}

func forcedPush(_ call, cmd shell.Command) bool {
	sub := gitCommand(cmd.Words[1:])
	if cmd.Name != "git" || len(sub) == 0 || sub[0].Text != "push" {
		return false
	}
	return slices.ContainsFunc(sub[1:], func(w shell.Word) bool {
		short := strings.HasPrefix(w.Text, "-") && !strings.HasPrefix(w.Text, "--") && strings.ContainsAny(w.Text, "fd")
		long := slices.Contains([]string{"--force", "--mirror", "--delete", "--prune"}, w.Text)
		return short || long || strings.HasPrefix(w.Text, "+") || strings.HasPrefix(w.Text, ":")
	})
}

// begins reports a command whose arguments begin with one of these.
func begins(cmd shell.Command, lines ...string) bool {
	text := cmd.Name + " " + spelling(slices.DeleteFunc(slices.Clone(cmd.Words[1:]), func(w shell.Word) bool { return strings.HasPrefix(w.Text, "-") })) + " "
	return slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(text, l+" ") })
}

func infrastructure(_ call, cmd shell.Command) bool {
	return begins(cmd, "terraform destroy", "tofu destroy", "pulumi destroy", "kubectl delete", "helm uninstall", "gh repo delete", "aws s3 rb", "gcloud projects delete", "dropdb")
}

func publishing(_ call, cmd shell.Command) bool {
	return begins(cmd, "npm publish", "npm unpublish", "pnpm publish", "yarn publish", "cargo publish", "gem push", "twine upload", "poetry publish", "docker push")
}

// upload reports a client that sends a file, unless every address is this machine.
func upload(_ call, cmd shell.Command) bool {
	switch cmd.Name {
	case "curl":
		if !option(cmd, "T", "--upload-file") && !slices.ContainsFunc(cmd.Words[1:], func(w shell.Word) bool {
			return strings.HasPrefix(w.Text, "@") || strings.Contains(w.Text, "=@") || strings.Contains(w.Text, "=<") || strings.HasPrefix(w.Text, "-d@") || strings.HasPrefix(w.Text, "-F@")
		}) {
			return false
		}
	case "wget":
		if !option(cmd, "", "--post-file", "--body-file") {
			return false
		}
	default:
		return false
	}
	return !slices.ContainsFunc(cmd.Words[1:], local)
}

func local(w shell.Word) bool {
	text := w.Text
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	return err == nil && w.Literal && slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, u.Hostname())
}

func tunnel(_ call, cmd shell.Command) bool {
	remote := func(w shell.Word) bool {
		host, _, ok := strings.Cut(w.Text, ":")
		return ok && host != "" && !strings.ContainsAny(host, "/=") && !strings.HasPrefix(host, "-")
	}
	switch cmd.Name {
	case "scp", "rsync", "sftp", "rclone":
		return slices.ContainsFunc(cmd.Words[1:], remote)
	case "ssh":
		return option(cmd, "RDLw")
	}
	return false
}

// downloadAndRun reports an interpreter that reads what another command of the line gives it.
func downloadAndRun(_ call, cmd shell.Command) bool {
	interpreters := []string{"sh", "bash", "dash", "zsh", "ksh", "ash", "python", "perl", "ruby", "node", "php"}
	if !slices.Contains(interpreters, cmd.Name) || !cmd.Piped || cmd.Given {
		return false
	}
	return !slices.ContainsFunc(cmd.Words[1:], func(w shell.Word) bool {
		return !strings.HasPrefix(w.Text, "-") || w.Text == "-c" || w.Text == "-e" || w.Text == "-m"
	})
}

func gitProgram(_ call, cmd shell.Command) bool {
	sub := gitCommand(cmd.Words[1:])
	if cmd.Name != "git" || len(sub) < 3 || sub[0].Text != "config" {
		return false
	}
	var rest []string
	for _, w := range sub[1:] {
		if slices.Contains([]string{"--get", "--get-all", "--list", "-l", "--unset", "get", "list", "unset"}, w.Text) {
			return false
		}
		if !strings.HasPrefix(w.Text, "-") && w.Text != "set" {
			rest = append(rest, w.Text)
		}
	}
	return len(rest) >= 2 && !shell.PlainGitKey(rest[0])
}

var setuidMode = regexp.MustCompile(`^([augo]*[+=][rwxXt]*s|0*[2-7][0-7]{3})`)

func setuid(_ call, cmd shell.Command) bool {
	return slices.Contains([]string{"chmod", "install"}, cmd.Name) && slices.ContainsFunc(cmd.Words[1:], func(w shell.Word) bool { return setuidMode.MatchString(strings.TrimPrefix(w.Text, "-m")) })
}

func privilegedContainer(_ call, cmd shell.Command) bool {
	if !slices.Contains([]string{"docker", "podman", "nerdctl"}, cmd.Name) {
		return false
	}
	text := spelling(cmd.Words)
	return slices.ContainsFunc([]string{"--privileged", "--pid=host", "--pid host", "--net=host", "--network=host", "--cap-add", " -v /:", "--volume=/:", "docker.sock", "--device"}, func(o string) bool { return strings.Contains(text, o) })
}

func otherAgent(_ call, cmd shell.Command) bool {
	switch cmd.Name {
	case "claude":
		return option(cmd, "", "--dangerously-skip-permissions", "--allow-dangerously-skip-permissions", "--bare", "--settings", "--setting-sources") || strings.Contains(spelling(cmd.Words), "bypassPermissions")
	case "codex":
		return option(cmd, "", "--dangerously-bypass-approvals-and-sandbox", "--full-auto", "--yolo")
	}
	return false
}

func ownPrograms(_ call, cmd shell.Command) bool {
	switch cmd.Name {
	case ".agentbox":
		return true
	case "pkill", "killall":
		return slices.ContainsFunc(cmd.Words[1:], func(w shell.Word) bool {
			return strings.Contains(w.Text, "agentbox") || strings.Contains(w.Text, "claude") || strings.Contains(w.Text, "codex")
		})
	case "kill":
		return slices.ContainsFunc(cmd.Words[1:], func(w shell.Word) bool { return w.Text == "1" }) || len(cmd.Words) > 2 && cmd.Words[len(cmd.Words)-1].Text == "-1"
	}
	return slices.ContainsFunc(cmd.Words, func(w shell.Word) bool { return path.Clean(w.Text) == "/.agentbox" || path.Clean(w.Text) == "/.hook" })
}

func history(_ call, cmd shell.Command) bool {
	return cmd.Name == "history" && option(cmd, "cd")
}
