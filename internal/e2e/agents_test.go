package e2e

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"agentbox/internal/boxtest"
	internet "agentbox/internal/boxtest/world"
)

// used is what every answer of the tests' models reports.
var used = internet.Usage{Input: 1203, Output: 57, CacheRead: 40960, CacheWrite: 811}

// costs are what the tests read of "agentbox cost --json".
type costs struct {
	Models []modelCosts
	Total  modelCosts
	Budget *struct{ Reached bool }
}

type modelCosts struct {
	Model      string
	Requests   int
	Input      int     `json:"input_tokens"`
	CacheRead  int     `json:"cache_read_tokens"`
	CacheWrite int     `json:"cache_write_tokens"`
	Output     int     `json:"output_tokens"`
	Cost       float64 `json:"cost_usd"`
	Estimated  int     `json:"estimated_requests"`
	Unpriced   bool
}

// A price is what the tests read of "agentbox cost --prices --json".
type price struct {
	Model         string
	Input, Output float64
	CacheRead     float64 `json:"cache_read"`
	CacheWrite    float64 `json:"cache_write"`
}

// read has agentbox print JSON.
func (w *world) read(t *testing.T, into any, args ...string) {
	t.Helper()
	r := finish(t, w.agentbox(t, args...))
	if err := json.Unmarshal([]byte(r.out), into); err != nil {
		t.Fatalf("agentbox %v: %v: %+v", args, err, r)
	}
}

// costsWhatWasSent compares "agentbox cost" with what the server reported, and its dollars with the table of prices.
func (w *world) costsWhatWasSent(t *testing.T, seen []internet.Message) {
	t.Helper()
	var got costs
	w.read(t, &got, "cost", "--json")
	var prices struct{ Prices []price }
	w.read(t, &prices, "cost", "--prices", "--json")
	perModel := map[string]int{}
	for _, m := range seen {
		perModel[m.Model]++
	}
	total := 0.0
	for _, m := range got.Models {
		n := perModel[m.Model]
		want := modelCosts{Model: m.Model, Requests: n, Input: n * used.Input, CacheRead: n * used.CacheRead, CacheWrite: n * used.CacheWrite, Output: n * used.Output, Cost: m.Cost}
		if m != want {
			t.Errorf("cost says %+v, and the server %+v", m, want)
		}
		i := slices.IndexFunc(prices.Prices, func(p price) bool { return p.Model == m.Model })
		if i < 0 {
			t.Errorf("no price of %s", m.Model)
			continue
		}
		p := prices.Prices[i]
		usd := (float64(m.Input)*p.Input + float64(m.Output)*p.Output + float64(m.CacheRead)*p.CacheRead + float64(m.CacheWrite)*p.CacheWrite) / 1e6
		if total += usd; math.Abs(usd-m.Cost) > 1e-9 {
			t.Errorf("%s costs %v, and by the table %v", m.Model, m.Cost, usd)
		}
	}
	if len(got.Models) != len(perModel) || got.Total.Requests != len(seen) || math.Abs(got.Total.Cost-total) > 1e-9 {
		t.Errorf("cost says %+v of %d requests, which are %v", got, len(seen), total)
	}
}

// What is counted is what each API says, in events and in one document.
func TestCostOfEveryAPI(t *testing.T) {
	boxtest.Need(t, "curl")
	net := internet.New(t)
	messages, responses := internet.NewMessages(), internet.NewResponses()
	messages.Usage, responses.Usage = used, used
	net.Name("api.anthropic.com", "203.0.113.20")
	net.Name("api.openai.com", "203.0.113.21")
	net.HTTPS("203.0.113.20:443", []string{"api.anthropic.com"}, messages)
	net.HTTPS("203.0.113.21:443", []string{"api.openai.com"}, responses)
	w := withKey(t, mappedUser, net, newSecret(), `network.allow = ["api.anthropic.com", "api.openai.com"]`,
		"[[credential]]\nname = \"models\"\nsource = \"env:REAL_KEY\"\nhosts = [\"api.anthropic.com\", \"api.openai.com\"]\nas = \"bearer\"\n")
	r := w.sh(t, `ask() { curl -sS -o /dev/null -w '%{http_code} ' -H 'Content-Type: application/json' -d "$2" https://$1; }
		for stream in true false; do
			ask api.anthropic.com/v1/messages '{"model": "claude-opus-4-8", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], "stream": '$stream'}'
			ask api.openai.com/v1/responses '{"model": "gpt-5.1", "input": "hi", "stream": '$stream'}'
			ask api.openai.com/v1/chat/completions '{"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}], "stream_options": {"include_usage": true}, "stream": '$stream'}'
		done`)
	if want := strings.Repeat("200 ", 6); r.out != want {
		t.Errorf("%+v", r)
	}
	w.costsWhatWasSent(t, append(messages.Seen(), responses.Seen()...))
}

// modelKey is the tests' key of a model's maker.
func modelKey() string { return "sk-ant-api03-" + strings.Repeat(newSecret()[5:31], 3) }

// quiet keeps Claude Code to its model.
const quiet = "export CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 DISABLE_INSTALLATION_CHECKS=1\n"

// claudeTurn is one that takes a tool.
func claudeTurn() *internet.Messages {
	messages := internet.NewMessages(internet.Bash("echo made by the tool >made; cat made; env | grep -c sk-ant-api03-agentbox"), internet.Turn{Text: "all done"})
	messages.Usage = used
	return messages
}

// keylessWays are those in which Claude Code comes to its model without a key: lines of the credential.
var keylessWays = map[string]string{
	"the https host": "",
	"a base URL":     `base_url_env = "ANTHROPIC_BASE_URL"`,
	"a unix socket":  "base_url_env = \"ANTHROPIC_BASE_URL\"\nsocket_env = \"ANTHROPIC_UNIX_SOCKET\"",
}

// claudeBox is a box with Claude Code in it, whose key is not.
func claudeBox(t *testing.T, find who, base, key, more string) (*world, *internet.Messages, *internet.Server) {
	t.Helper()
	net := internet.New(t)
	messages := claudeTurn()
	net.Name("api.anthropic.com", "203.0.113.20")
	server := net.HTTPS("203.0.113.20:443", []string{"api.anthropic.com"}, messages)
	w := withKey(t, find, net, key, "", "")
	w.linked(t, filepath.Join(base, strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())), filepath.Join(base, "tool/bin/claude"))
	w.keys(t, net, `network.allow = ["api.anthropic.com"]`, "[[credential]]\nname = \"anthropic\"\nsource = \"env:REAL_KEY\"\nhosts = [\"api.anthropic.com\"]\nheader = \"x-api-key\"\nenv = \"ANTHROPIC_API_KEY\"\n"+more)
	return w, messages, server
}

// keyless has Claude Code take a turn without a key, in each way.
func keyless(t *testing.T, find who, base string) {
	for way, lines := range keylessWays {
		t.Run(way, func(t *testing.T) {
			key := modelKey()
			w, messages, server := claudeBox(t, find, base, key, lines)
			r := w.sh(t, quiet+`claude -p --permission-mode bypassPermissions "make it" </dev/null`)
			if r.code != 0 || strings.TrimSpace(r.out) != "all done" {
				t.Fatalf("%+v", r)
			}
			if made, err := os.ReadFile(filepath.Join(w.dir, "made")); err != nil || string(made) != "made by the tool\n" {
				t.Errorf("the tool: %q, %v", made, err)
			}
			for _, r := range server.Requests() {
				if r.Header.Get("X-Api-Key") != key || r.Header.Get("Authorization") != "" {
					t.Errorf("%s %s has the key %q", r.Method, r.URI, r.Header.Get("X-Api-Key"))
				}
			}
			seen := messages.Seen()
			saw(t, seen, key, "made by the tool\n1") // a variable with the placeholder
			w.costsWhatWasSent(t, seen)
		})
	}
}

// saw checks that a model was told what a tool said, and was told no key.
func saw(t *testing.T, seen []internet.Message, key, result string) {
	t.Helper()
	if len(seen) < 2 || !strings.Contains(strings.Join(seen[len(seen)-1].Result, ""), result) {
		t.Errorf("the model was asked %d times, and not told %q", len(seen), result)
	}
	for i, m := range seen {
		if strings.Contains(string(m.Body), key) {
			t.Errorf("request %d: the key was inside", i)
		}
	}
}

// spent has Claude Code meet the end of its budget, which its first request passes: it ends at once, and says why.
func spent(t *testing.T, find who, base string) {
	for way, lines := range keylessWays {
		t.Run(way, func(t *testing.T) {
			w, messages, _ := claudeBox(t, find, base, modelKey(), lines+"\n[budget]\nusd = 0.01\n")
			w.endsWithItsBudget(t, quiet+`claude -p --permission-mode bypassPermissions "make it" </dev/null`)
			w.costsWhatWasSent(t, messages.Seen())
		})
	}
}

// endsWithItsBudget runs an agent whose second request is refused for its budget. It is not to ask again.
func (w *world) endsWithItsBudget(t *testing.T, script string) {
	t.Helper()
	r := w.sh(t, script)
	if r.code != 1 || !strings.Contains(r.out+r.err, "the budget of this box is used up") {
		t.Errorf("%+v", r)
	}
	if refused := w.events(t, "network.refused"); len(refused) != 1 {
		t.Errorf("it asked %d times more", len(refused))
	}
	answers := slices.DeleteFunc(w.events(t, "network.request"), func(e event) bool { return e.Model == "" })
	if reached := w.events(t, "budget.reached"); len(answers) != 1 || len(reached) != 1 {
		t.Errorf("%d answers, and the budget was reached %d times", len(answers), len(reached))
	}
	var got costs
	if w.read(t, &got, "cost", "--json"); got.Budget == nil || !got.Budget.Reached {
		t.Errorf("cost does not say so: %+v", got)
	}
}

// Codex comes to its model by its provider's base URL, without a key.
func TestCodex(t *testing.T) {
	base := installed(t, "@openai/codex")
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			w, responses, key := codexBox(t, find, base, "")
			r := w.sh(t, codex)
			if r.code != 0 || strings.TrimSpace(r.out) != "all done" {
				t.Fatalf("%+v", r)
			}
			if made, err := os.ReadFile(filepath.Join(w.dir, "made")); err != nil || string(made) != "made by the tool\n" {
				t.Errorf("the tool: %q, %v", made, err)
			}
			seen := responses.Seen()
			for i, m := range seen {
				if m.Bearer != key || m.Path != "/v1/responses" {
					t.Errorf("request %d to %s has the key %q", i, m.Path, m.Bearer)
				}
			}
			saw(t, seen, key, "made by the tool")
			w.costsWhatWasSent(t, seen)
		})
	}
	t.Run("at the end of its budget", func(t *testing.T) {
		w, responses, _ := codexBox(t, mappedUser, base, "[budget]\ntokens = 1\n")
		w.endsWithItsBudget(t, codex)
		w.costsWhatWasSent(t, responses.Seen())
	})
}

// codex is a turn of Codex. Of a model that it does not know it expects the plain tool.
const codex = `codex exec --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox -m test-model -c model_provider=box \
	-c "model_providers.box={name=\"box\",base_url=\"$OPENAI_BASE_URL/v1\",env_key=\"OPENAI_API_KEY\",wire_api=\"responses\"}" \
	-c analytics.enabled=false -c check_for_update_on_startup=false -c features.plugins=false -c features.apps=false "make it" </dev/null`

func codexBox(t *testing.T, find who, base, more string) (*world, *internet.Responses, string) {
	t.Helper()
	net := internet.New(t)
	responses := internet.NewResponses(internet.Shell("echo made by the tool >made; cat made"), internet.Turn{Text: "all done"})
	responses.Usage = used
	net.Name("api.openai.com", "203.0.113.21")
	net.HTTPS("203.0.113.21:443", []string{"api.openai.com"}, responses)
	key := "sk-proj-" + newSecret()[5:31]
	w := withKey(t, find, net, key, "", "")
	w.linked(t, filepath.Join(base, strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())), filepath.Join(base, "tool/bin/codex"))
	w.keys(t, net, `network.allow = ["api.openai.com"]`, "[[credential]]\nname = \"openai\"\nsource = \"env:REAL_KEY\"\nhosts = [\"api.openai.com\"]\nas = \"bearer\"\nenv = \"OPENAI_API_KEY\"\nbase_url_env = \"OPENAI_BASE_URL\"\n"+
		"[[price]]\nmodel = \"test-model\"\ninput = 1.5\noutput = 12.0\ncache_read = 0.15\ncache_write = 2.0\n"+more)
	return w, responses, key
}

// installed gets a program from npm's registry, where a person's PATH may name it.
func installed(t *testing.T, name string) (base string) {
	t.Helper()
	boxtest.Need(t, boxtest.Npm, boxtest.Node, boxtest.NpmRegistry)
	base = toolchains(t)
	npm := exec.Command("npm", "install", "--global", "--prefix", filepath.Join(base, "tool"), "--silent", "--no-audit", "--no-fund", name)
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("npm install: %v\n%s", err, out)
	}
	return base
}
