package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"agentbox/internal/boxtest"
)

// incidentPage goes through an incident with real commands.
const incidentPage = "../../docs/incident.md"

var (
	codeBlock = regexp.MustCompile("(?ms)^```(console|toml|sh)\n(.*?)^```$")
	// changing is what differs from one machine and run to the next: times, hashes, IDs, numbers, the home's name.
	changing = regexp.MustCompile(`\b[0-9a-f]{64}\b|\b1s[0-9a-z]{10}\b|\b[0-9][0-9.,:]*( ?[KM]iB|s| B)?\b|/home/me(/project)?`)
	blanks   = regexp.MustCompile(`[ \t]+`)
)

// A shown command of the page, and what it prints there.
type shown struct {
	command string
	shows   []string
}

// readPage takes the page apart: files to make, by name, and commands.
func readPage(t *testing.T) (files map[string]string, steps []shown) {
	t.Helper()
	page, err := os.ReadFile(incidentPage)
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	for _, block := range codeBlock.FindAllStringSubmatch(string(page), -1) {
		if block[1] != "console" {
			name, text, _ := strings.Cut(strings.TrimPrefix(block[2], "# "), "\n")
			files[name] = text
			continue
		}
		for line := range strings.Lines(block[2]) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				steps = append(steps, shown{command: strings.TrimSpace(command)})
			} else {
				last := &steps[len(steps)-1]
				last.shows = append(last.shows, strings.TrimSuffix(line, "\n"))
			}
		}
	}
	return files, steps
}

// alike is a line without what differs from run to run.
func (w *world) alike(line string) string {
	line = strings.NewReplacer(w.dir, "/home/me/project", w.Home, "/home/me").Replace(line)
	return blanks.ReplaceAllString(changing.ReplaceAllString(line, "N"), " ")
}

// An incident, from the first bad command to a new key, is what docs/incident.md shows, command by command.
func TestIncidentAsTheDocsShowIt(t *testing.T) {
	boxtest.Need(t, boxtest.Git, "curl", "zstd")
	files, steps := readPage(t)
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			var mu sync.Mutex
			var keys []string
			api := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				keys = append(keys, r.Header.Get("Authorization"))
				fmt.Fprintln(rw, "ok")
			}))
			defer api.Close()
			w := newWorld(t, find, inOverlay)
			w.outside(t, "git init -q .")
			w.Path = filepath.Dir(w.bin) + ":" + w.Path
			const before = "sk-live-the-first-0123456789"
			w.WriteFile(t, filepath.Join(w.Home, "api.key"), before, 0o600)
			w.WriteFile(t, filepath.Join(w.dir, ".env"), "PASSWORD=secret\n", 0o600)
			profile := "[audit]\nexec=true\n" + strings.ReplaceAll(files["~/incident.toml"], "127.0.0.1:8080", api.Listener.Addr().String())
			w.WriteFile(t, filepath.Join(w.Home, "incident.toml"), profile, 0o600)
			w.WriteFile(t, filepath.Join(w.dir, "agent.sh"), files["agent.sh"], 0o755)
			t.Cleanup(func() {
				finish(t, w.agentbox(t, "kill"))
				finish(t, w.Command(t, w.Home, "sh", "-c", "rm -rf ~/evidence-* ~/incident.* ~/report.html ~/api.key"))
			})
			for _, s := range steps {
				w.take(t, s)
				if strings.HasPrefix(s.command, "agentbox run -d") {
					until(t, "the agent waits", func() bool {
						return strings.Contains(finish(t, w.agentbox(t, "log", "--type", "program.start")).out, "sleep 60")
					})
				}
			}
			if want := []string{"Bearer " + before, "Bearer sk-live-the-new-one-0123456789"}; !slices.Equal(keys, want) {
				t.Errorf("the API saw %q", keys)
			}
		})
	}
}

// take runs a command and looks for the lines that the page shows, in their order.
func (w *world) take(t *testing.T, s shown) {
	t.Helper()
	r := finish(t, w.Command(t, w.dir, "sh", "-c", s.command))
	if r.code != 0 && !strings.HasPrefix(s.command, "agentbox why ") { // which says by its code what it says
		t.Fatalf("%s: %+v", s.command, r)
	}
	lines := strings.Split(r.out+r.err, "\n")
	for _, line := range s.shows {
		at := slices.IndexFunc(lines, func(l string) bool { return w.alike(l) == w.alike(line) })
		if at < 0 {
			t.Fatalf("%s does not show\n%s\nbut\n%s%s", s.command, line, r.out, r.err)
		}
		lines = lines[at+1:]
	}
}
