package browser_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"agentbox/internal/boxtest"
	"agentbox/internal/boxtest/browser"
)

func TestMain(m *testing.M) { os.Exit(boxtest.Main(m)) }

// body is a page with nothing wrong, but for what is put into it.
func body(policy, inside string) string {
	return `<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">` + policy + `<title>t</title><body><header>h</header><main><h1>one</h1>` + inside + `</main>`
}

// A page that asks for something is told from one that does not, whether it gets it or its policy forbids it; so is a page
// with each of the faults that are looked for.
func TestWhatIsSeenOfAPage(t *testing.T) {
	boxtest.Need(t, boxtest.Chromium)
	var hits atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { hits.Add(1) }))
	defer server.Close()
	const none = `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">`
	picture := `<img alt="x" src="` + server.URL + `/x.png">`
	b := browser.Start(t)
	for what, test := range map[string]struct {
		page, fault, complaint string
		tries, asks            int32
	}{
		"nothing is wrong":             {page: body(none, "<p>text</p>")},
		"a picture is fetched":         {page: body("", picture), tries: 1, asks: 1},
		"a picture is forbidden":       {page: body(none, picture), tries: 1, complaint: "Content Security Policy"},
		"a script runs":                {page: body("", `<script>console.log(1)</script>`), complaint: "Runtime.consoleAPICalled"},
		"a script is forbidden":        {page: body(none, `<script>console.log(1)</script>`), complaint: "Content Security Policy"},
		"a text is pale":               {page: body(none, `<p style="color:#999">pale</p>`), fault: "contrast 2.85"},
		"a text is pale by opacity":    {page: body(none, `<p style="opacity:.4">pale</p>`), fault: "contrast 2.85"},
		"a text is small":              {page: body(none, `<p style="font-size:11px">small</p>`), fault: "text of 11.0 px"},
		"a text is cut":                {page: body(none, `<p style="overflow:hidden;width:40px;white-space:nowrap">`+strings.Repeat("long ", 9)+`</p>`), fault: "text cut"},
		"the page is too wide":         {page: body(none, `<p style="width:600px">wide</p>`), fault: "px wide"},
		"a wide part scrolls":          {page: body(none, `<div style="overflow-x:auto"><p style="width:600px">wide</p></div>`)},
		"a heading is left out":        {page: body(none, `<h3>x</h3>`), fault: "heading of level 3 after 1"},
		"a table has no headers":       {page: body(none, `<table aria-label="t"><tbody><tr><td>x</table>`), fault: "table without headers"},
		"a chart has no words":         {page: body(none, `<svg></svg>`), fault: "chart without words"},
		"a link is no address of ours": {page: body(none, `<a href="javascript:x()">x</a>`), fault: "link"},
	} {
		t.Run(what, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "page.html")
			if err := os.WriteFile(path, []byte(test.page), 0o600); err != nil {
				t.Fatal(err)
			}
			hits.Store(0)
			p := b.Open(t, "file://"+path, browser.View{Width: 390, Mobile: true})
			defer p.Close()
			has := func(list []string, want string) bool {
				return want == "" && len(list) == 0 || want != "" && slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, want) })
			}
			if got := p.Faults(); !has(got, test.fault) {
				t.Errorf("faults: %q, want %q", got, test.fault)
			}
			if got := p.Complaints(); !has(got, test.complaint) {
				t.Errorf("complaints: %q, want %q", got, test.complaint)
			}
			if got := p.Requests(); len(got) != 1+int(test.tries) || hits.Load() != test.asks {
				t.Errorf("it asked for %q, and the server for %d", got, hits.Load())
			}
		})
	}
}
