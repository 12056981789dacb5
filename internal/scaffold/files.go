package scaffold

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"agentbox/profile"
)

// readable are the files that say which tools a project uses. Each is given the content, nil if there is none to read.
var readable = map[string]func([]byte) []string{
	"package.json":   packageJSON,
	"go.mod":         goMod,
	"pyproject.toml": headings(map[string]string{"tool.poetry": "poetry", "tool.uv": "uv", "tool.pdm": "pdm", "tool.hatch": "hatch", "tool.pytest": "pytest", "tool.ruff": "ruff", "tool.tox": "tox"}),
	"Cargo.toml":     headings(map[string]string{"workspace": "cargo workspace"}),
}

// packageJSON reads the package manager that a project asks for, and whether it holds several packages.
func packageJSON(data []byte) []string {
	var file struct {
		PackageManager any             `json:"packageManager"`
		Workspaces     json.RawMessage `json:"workspaces"`
	}
	if json.Unmarshal(data, &file) != nil {
		return nil
	}
	var out []string
	if s, ok := file.PackageManager.(string); ok {
		if name, _, _ := strings.Cut(s, "@"); slices.Contains([]string{"npm", "pnpm", "yarn", "bun"}, name) {
			out = append(out, name)
		}
	}
	if len(file.Workspaces) > 0 && string(file.Workspaces) != "null" {
		out = append(out, "npm workspaces")
	}
	return out
}

// lazily compiles an expression when it is first used: a program that starts twice for every box has no time for it.
func lazily(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

var goVersion = lazily(`(?m)^go ([0-9]{1,3}(\.[0-9]{1,3}){1,2})[ \t\r]*$`)

// goMod reads the version of Go that a module asks for.
func goMod(data []byte) []string {
	if m := goVersion().FindSubmatch(data); m != nil {
		return []string{"go " + string(m[1])}
	}
	return nil
}

// headings looks for tables of a TOML file by name. It reads no TOML: a heading inside a text of several lines would be
// taken for one, and then a tool is named in a comment that is not used.
func headings(tools map[string]string) func([]byte) []string {
	return func(data []byte) []string {
		var out []string
		for line := range bytes.Lines(data) {
			name, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "[")
			if !ok {
				continue
			}
			name = strings.Trim(name, "[]")
			for table, tool := range tools {
				if (name == table || strings.HasPrefix(name, table+".")) && !slices.Contains(out, tool) {
					out = append(out, tool)
				}
			}
		}
		slices.Sort(out)
		return out
	}
}

// maxRemotes bounds how many remotes are spoken of.
const maxRemotes = 16

var remoteHeading = lazily(`^\[[ \t]*remote[ \t]+"((?:[^"\\]|\\.)*)"[ \t]*\]$`)

// remotes reads the hosts of a git configuration, a line at a time: a section, a key and a value. What it includes from
// elsewhere is not read.
func remotes(config []byte) []Remote {
	var out []Remote
	name := ""
	for line := range bytes.Lines(config) {
		text := strings.TrimSpace(string(line))
		if strings.HasPrefix(text, "[") {
			name = ""
			if m := remoteHeading().FindStringSubmatch(text); m != nil {
				name = m[1]
			}
			continue
		}
		key, value, ok := strings.Cut(text, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		if !ok || name == "" || key != "url" && key != "pushurl" {
			continue
		}
		r := Remote{name, remoteHost(strings.Trim(strings.TrimSpace(value), `"`))}
		if r.Host != "" && !slices.Contains(out, r) && len(out) < maxRemotes {
			out = append(out, r)
		}
	}
	return out
}

// remoteHost gives the host of a remote as network.allow has it, "" if it has none. User, password and path are left
// out.
func remoteHost(s string) string {
	host, port := "", ""
	if u, err := url.Parse(s); err == nil && u.Host != "" {
		host, port = u.Hostname(), u.Port()
		if port == "" {
			port = map[string]string{"https": "443", "http": "80", "ssh": "22", "git+ssh": "22", "git": "9418"}[u.Scheme]
		}
	} else if before, _, ok := strings.Cut(s, ":"); ok && !strings.Contains(before, "/") && !strings.Contains(s, "://") {
		host, port = before[strings.LastIndexByte(before, '@')+1:], "22" // user@host:path
	}
	h, err := profile.ParseHost(host)
	n, badPort := strconv.ParseUint(port, 10, 16)
	if err != nil || h.IsZero() || badPort != nil || n == 0 {
		return ""
	}
	entry := h.String()
	if n != 443 {
		entry += ":" + strconv.FormatUint(n, 10)
	}
	if _, err := profile.ParseHostPattern(entry, false); err != nil {
		return ""
	}
	return entry
}
