package mounts

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// shims are directories of PATH whose programs are found through another tree, both relative to the home directory.
var shims = map[string]string{
	".cargo/bin":               ".rustup",
	".pyenv/shims":             ".pyenv",
	".pyenv/bin":               ".pyenv",
	".rbenv/shims":             ".rbenv",
	".asdf/shims":              ".asdf",
	".volta/bin":               ".volta",
	".nodenv/shims":            ".nodenv",
	".jenv/shims":              ".jenv",
	".local/share/mise/shims":  ".local/share/mise",
	".local/share/pnpm":        ".local/share/pnpm",
	".nix-profile/bin":         ".nix-profile",
	".local/state/nix/profile": ".local/state/nix/profile",
}

// standardPath is what follows the caller's PATH, so that a short one still finds a shell.
var standardPath = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// ShimTrees are the trees below home that Host.Exists has to tell.
func ShimTrees(home string) []string {
	var list []string
	for _, tree := range shims {
		list = append(list, path.Join(home, tree))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// TreeOf names the directory that a program needs around it, given where the program is and which directories are
// installation prefixes (they hold lib or share beside bin).
func TreeOf(target string, prefix func(dir string) bool) string {
	if before, _, ok := strings.Cut(target, "/node_modules/"); ok {
		if path.Base(before) == "lib" {
			return path.Dir(before)
		}
		return before + "/node_modules"
	}
	dir := path.Dir(target)
	if path.Base(dir) == "bin" && prefix(path.Dir(dir)) {
		return path.Dir(dir)
	}
	return dir
}

// tools shows the toolchains that PATH names and makes the agent's PATH of what can be seen. A relative directory,
// the home directory itself and the workspace are left out: a program there would be the agent's own.
func (b *builder) tools() {
	for _, t := range b.host.Tools {
		if !path.IsAbs(t.Real) || b.private(t.Real) {
			continue
		}
		if !b.visible(t.Real) {
			b.tree(TreeOf(path.Join(t.Real, "program"), func(d string) bool { return b.host.Prefixes[d] }), t.Real)
		}
		if rel, ok := strings.CutPrefix(t.Real, b.host.Home+"/"); ok && shims[rel] != "" {
			if tree := path.Join(b.host.Home, shims[rel]); b.host.Exists[tree] {
				b.tree(tree, tree)
			}
		}
		for _, target := range slices.Sorted(maps.Values(t.Links)) { // a tree before those in it
			if !b.private(target) {
				b.tree(TreeOf(target, func(d string) bool { return b.host.Prefixes[d] }), target)
			}
		}
		b.addPath(t.Real)
	}
	for _, d := range standardPath {
		if b.visible(d) {
			b.addPath(d)
		}
	}
}

func (b *builder) addPath(dir string) {
	if !slices.Contains(b.out.Path, dir) {
		b.out.Path = append(b.out.Path, dir)
	}
}

// tree binds an installation; where that would show too much, only the program or directory itself.
func (b *builder) tree(dir, otherwise string) {
	if b.wide(dir) {
		dir = otherwise
	}
	if b.wide(dir) || b.visible(dir) {
		return
	}
	b.bind(Mount{Source: dir, Target: dir, Options: readOnlyBind, Owned: b.closed(dir), Why: "PATH"})
	b.files[dir] = b.fileTarget(dir)
}

// closed reports whether only the caller can reach a path of the host.
func (b *builder) closed(p string) bool {
	for d := range b.host.Closed {
		if Below(p, d) {
			return true
		}
	}
	return false
}

// fileTarget reports whether dir is the very file that a link of PATH resolves to.
func (b *builder) fileTarget(p string) bool {
	for _, t := range b.host.Tools {
		for _, target := range t.Links {
			if target == p {
				return true
			}
		}
	}
	return false
}

// wide reports whether a tree holds more than a tool: the home directory, its parents, or a directory of settings.
func (b *builder) wide(p string) bool {
	if Below(b.host.Home, p) || Below(b.host.Workspace.Path, p) || p == "/" {
		return true
	}
	rel, ok := strings.CutPrefix(p, b.host.Home+"/")
	return ok && slices.Contains([]string{".local", ".local/share", ".local/state", ".config", ".cache", ".cargo", ".ssh", ".gnupg", ".npm"}, rel)
}

// private reports whether a directory of PATH must not be followed into the box.
func (b *builder) private(p string) bool {
	if p == b.host.Home || Below(p, b.host.Workspace.Path) {
		return true
	}
	for _, d := range []string{"/tmp", "/var/tmp", "/run", "/proc", "/sys", "/dev"} {
		if Below(p, d) {
			return true
		}
	}
	return false
}

// visible reports whether there is something at a path of the host already: the same, or what a directory that serves
// as the root has there.
func (b *builder) visible(p string) bool {
	for _, m := range b.out.Mounts {
		if m.Type == "bind" && (m.Source == m.Target || m.Why == "rootfs.source") && Below(p, m.Target) {
			return true
		}
	}
	for _, e := range b.host.Root {
		if e.Kind == Link && Below(p, "/"+e.Name) {
			return true
		}
	}
	return false
}
