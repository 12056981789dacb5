package egress

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"agentbox/internal/audit"
	"agentbox/internal/egress/meter"
	"agentbox/profile"
)

// spender is a profile with a budget for the models of api.test.
func spender(b profile.Budget) profile.Profile {
	p := keyed("api.test")
	b.Hosts = []string{"api.test"}
	p.Budget = b
	return p
}

func asking(maxTokens int) string {
	return fmt.Sprintf(`{"model":"claude-opus-4-8","max_tokens":%d,"messages":[]}`, maxTokens)
}

func answerUsing(w http.ResponseWriter, in, out int) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"type":"message","model":"claude-opus-4-8","usage":{"input_tokens":%d,"output_tokens":%d}}`, in, out)
}

func post(t testing.TB, c *http.Client, path, body string) (int, string) {
	t.Helper()
	r, err := c.Post("https://api.test"+path, "application/json", strings.NewReader(body))
	return r.StatusCode, read(t, r, err)
}

func TestWhatIsUsedIsCountedAndEnds(t *testing.T) {
	b := serveRead(t, spender(profile.Budget{USD: 0.01, WarnAt: 0.5, OnLimit: "refuse"}), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		answerUsing(w, 200, 100) // 200 × $5 and 100 × $25 per million: $0.0035
	}))
	c := b.browser()
	for range 3 {
		if status, body := post(t, c, "/v1/messages?beta=true", asking(10)); status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
	}
	status, body := post(t, c, "/v1/messages", asking(10))
	var shape struct {
		Type  string
		Error struct{ Type, Message string }
	}
	if err := json.Unmarshal([]byte(body), &shape); err != nil || status != http.StatusPaymentRequired || shape.Type != "error" || shape.Error.Type != "billing_error" || !strings.Contains(shape.Error.Message, "budget.usd") {
		t.Errorf("%d %s", status, body)
	}
	status, body = post(t, c, "/v1/responses", `{"model":"gpt-5","input":"x"}`)
	if status != http.StatusBadRequest || !strings.Contains(body, `"insufficient_quota"`) {
		t.Errorf("%d %s", status, body)
	}
	b.Close()
	if n := len(events[*audit.BudgetWarning](b)); n != 1 {
		t.Errorf("%d warnings", n)
	}
	if list := events[*audit.BudgetReached](b); len(list) != 1 || list[0].SpentUSD != 0.0105 || list[0].Action != "refuse" {
		t.Errorf("%+v", list)
	}
	requests := events[*audit.NetworkRequest](b)
	if r := requests[0]; r.Model != "claude-opus-4-8" || r.Input != 200 || r.Output != 100 || r.CostUSD != 0.0035 || r.Estimated || r.Unpriced {
		t.Errorf("%+v", r)
	}
}

// What costs and cannot be counted is refused where there is a budget, and passes where there is none.
func TestWhatCannotBeCounted(t *testing.T) {
	for name, tc := range map[string]struct{ method, path, body, header string }{
		"a batch":                   {"POST", "/v1/messages/batches", "{}", ""},
		"an embedding":              {"POST", "/v1/embeddings", "{}", ""},
		"something nobody knows":    {"POST", "/v1/future", "{}", ""},
		"one behind a detour":       {"POST", "/x/../v1/embeddings", "{}", ""},
		"one that is escaped":       {"POST", "/x%2f..%2fv1/embeddings", "{}", ""},
		"a WebSocket":               {"GET", "/v1/realtime", "", "Upgrade: websocket"},
		"a compressed request":      {"POST", "/v1/messages", "\x1f\x8b", "Content-Encoding: gzip"},
		"a request that is no JSON": {"POST", "/v1/messages", "model=x", ""},
		"a model that is two":       {"POST", "/v1/messages", `{"model":"a","MODEL":"b","max_tokens":1}`, ""},
	} {
		for _, limited := range []bool{true, false} {
			p := spender(profile.Budget{USD: 1, OnLimit: "refuse"})
			if !limited {
				p.Budget = profile.Budget{}
			}
			reached := false
			b := serveRead(t, p, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
			r, err := http.NewRequest(tc.method, "https://api.test"+tc.path, strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			if k, v, ok := strings.Cut(tc.header, ": "); ok {
				r.Header.Set(k, v)
			}
			if r.Header.Get("Upgrade") != "" {
				r.Header.Set("Connection", "Upgrade")
			}
			response, err := b.browser().Do(r)
			read(t, response, err)
			if reached == limited || limited && response.StatusCode < 400 {
				t.Errorf("%s, with a budget %v: %d, reached %v", name, limited, response.StatusCode, reached)
			}
		}
	}
}

// Ten at once, a hundred times: together they pass the budget by no more than what one of them costs.
func TestABudgetHoldsAgainstMany(t *testing.T) {
	price, _ := meter.NewPrices(nil).Of("claude-opus-4-8")
	for run := range 100 {
		limit := 0.005 + rand.Float64()/10
		var mu sync.Mutex
		var total, dearest float64
		p := spender(profile.Budget{USD: limit, OnLimit: "refuse"})
		b := serveRead(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var q struct {
				Max int `json:"max_tokens"`
			}
			data, _ := io.ReadAll(r.Body)
			if err := json.Unmarshal(data, &q); err != nil {
				t.Error(err)
			}
			in, out := rand.IntN(len(data)/3+1), rand.IntN(q.Max+1)
			cost := price.Cost(meter.Usage{Input: int64(in), Output: int64(out)})
			mu.Lock()
			total, dearest = total+cost, max(dearest, cost)
			mu.Unlock()
			answerUsing(w, in, out)
		}))
		c := b.proxied("http")
		var agents sync.WaitGroup
		for range 10 {
			agents.Go(func() {
				for {
					r, err := c.Post("https://api.test/v1/messages", "application/json", strings.NewReader(asking(1+rand.IntN(2000))))
					if err != nil {
						t.Error(err)
						return
					}
					io.Copy(io.Discard, r.Body)
					if r.Body.Close(); r.StatusCode != http.StatusOK {
						return
					}
				}
			})
		}
		agents.Wait()
		b.Close()
		if total < limit || total > limit+dearest {
			t.Fatalf("run %d: $%.4f of $%.4f, and the dearest was $%.4f", run, total, limit, dearest)
		}
	}
}
