package meter

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPriceOf(t *testing.T) {
	p := NewPrices([]Price{{Model: "house/own", Input: 1, Output: 2}, {Model: "gpt-5-mini", Input: 9, Output: 9}})
	for model, want := range map[string]string{
		"claude-opus-4-8":                              "claude-opus-4-8",
		"claude-opus-4-8[1m]":                          "claude-opus-4-8",
		"Claude-Opus-4-8":                              "claude-opus-4-8",
		"claude-opus-4-20250514":                       "claude-opus-4",
		"claude-opus-4-1-20250805":                     "claude-opus-4-1",
		"claude-opus-4-9":                              "",
		"claude-opus-6":                                "",
		"claude-opus-5-5":                              "claude-opus-5-5",
		"claude-sonnet-4-5-20250929":                   "claude-sonnet-4-5",
		"claude-3-7-sonnet-latest":                     "claude-3-7-sonnet",
		"claude-haiku-4-5@20251001":                    "claude-haiku-4-5",
		"anthropic/claude-sonnet-5":                    "claude-sonnet-5",
		"us.anthropic.claude-sonnet-4-5-20250929-v1:0": "claude-sonnet-4-5",
		"publishers/anthropic/models/claude-fable-5-1": "claude-fable-5-1",
		"gpt-5-2025-08-07":                             "gpt-5",
		"openai/gpt-5-nano":                            "gpt-5-nano",
		"models/gpt-4.1-mini-2025-04-14":               "gpt-4.1-mini",
		"gpt-6.1-sol":                                  "gpt-6.1-sol",
		"gpt-6":                                        "",
		"gpt-5-mini-2025-08-07":                        "gpt-5-mini",
		"gpt-5-nano-and-more":                          "",
		"gpt-5-nano-2025-08-07-huge":                   "",
		"someone/gpt-5-nano":                           "",
		"anthropic/openai/gpt-5-nano":                  "",
		"gpt-4o-audio-preview":                         "",
		"house/own":                                    "house/own",
		"own":                                          "",
		"":                                             "",
		"-20250929":                                    "",
		"gpt-5-nano\n":                                 "",
		"claude-3-5-haiku-20241022-20241022":           "",
	} {
		got, known := p.Of(model)
		if got.Model != want || known != (want != "") {
			t.Errorf("%q is %q (%v), want %q", model, got.Model, known, want)
		}
	}
	if price, _ := p.Of("gpt-5-mini"); price.Input != 9 {
		t.Errorf("the override of gpt-5-mini did not come first: %+v", price)
	}
}

func TestAnUnknownModelIsTheDearest(t *testing.T) {
	p := NewPrices([]Price{{Model: "gold", Input: 1000}})
	unknown, _ := p.Of("?")
	usages := []Usage{{Input: 1e6}, {Output: 1e6}, {CacheRead: 1e5}, {CacheWrite: 1e6}, {CacheWriteLong: 1e5}, {CacheRead: 1e6}, {WebSearches: 1e3}, {Input: 1, Fast: true}}
	for _, row := range append([]Price{{Model: "gold", Input: 1000}}, table...) {
		for _, u := range usages {
			if row.Cost(u) > unknown.Cost(u)+1e-9 {
				t.Errorf("%s is dearer for %+v: %v > %v", row.Model, u, row.Cost(u), unknown.Cost(u))
			}
		}
	}
}

func TestCosts(t *testing.T) {
	p := NewPrices(nil)
	for what, test := range map[string]struct {
		model string
		usage Usage
		want  string
	}{
		"input and output":                {"claude-opus-4-8", Usage{Input: 1000, Output: 100}, "$0.0075"},
		"caches":                          {"claude-opus-4-8", Usage{CacheRead: 1000, CacheWrite: 1000, CacheWriteLong: 1000}, "$0.0168"},
		"a search":                        {"claude-opus-4-8", Usage{WebSearches: 1}, "$0.01"},
		"fast":                            {"claude-opus-5-5", Usage{Input: 1000, Fast: true}, "$0.008"},
		"in one region":                   {"claude-sonnet-5", Usage{Input: 1000, Regional: true}, "$0.0022"},
		"a prompt as long as may be":      {"claude-sonnet-4", Usage{Input: 100_000, CacheRead: 100_000, Output: 1000}, "$0.345"},
		"a longer one, cached for a part": {"claude-sonnet-4", Usage{Input: 100_001, CacheRead: 100_000, Output: 1000}, "$0.6825"},
		"a long one at OpenAI":            {"gpt-6.1-sol", Usage{Input: 300_000, CacheWrite: 1000}, "$1.205"},
		"one token of the cheapest":       {"gpt-5-nano", Usage{CacheRead: 1}, "$0.000000005"},
		"nothing":                         {"gpt-5", Usage{}, "$0.00"},
	} {
		price, _ := p.Of(test.model)
		if got := FromUSD(price.Cost(test.usage)).String(); got != test.want {
			t.Errorf("%s: %s, want %s", what, got, test.want)
		}
	}
}

func TestMoney(t *testing.T) {
	for usd, want := range map[float64]NanoUSD{
		0.1: 100_000_000, 5: 5_000_000_000, -1: 0, math.NaN(): mostUSD * nanosPerUSD, math.Inf(1): mostUSD * nanosPerUSD, 1e300: mostUSD * nanosPerUSD,
	} {
		if got := FromUSD(usd); got != want {
			t.Errorf("%v is %d, want %d", usd, got, want)
		}
	}
	var got []string
	for _, n := range []NanoUSD{0, 1, 12_345, 12_345_678, 123_456_789, 1_000_000_000, -2_500_000_000, 50_000} {
		got = append(got, n.String())
	}
	want := []string{"$0.00", "$0.000000001", "$0.000012345", "$0.0123", "$0.1235", "$1.00", "-$2.50", "$0.0001"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
