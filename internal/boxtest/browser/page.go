package browser

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	_ "embed" // what is looked at
)

// A View is how a page is looked at.
type View struct {
	Width  int
	Dark   bool
	Mobile bool
	Print  bool
}

// A Page is one that was opened.
type Page struct {
	b       *Browser
	t       testing.TB
	session string
	loaded  chan struct{}
	once    sync.Once

	Took time.Duration // from the call to the end of loading

	mu         sync.Mutex
	requests   []string
	complaints []string
}

// Open opens a page for a test and waits until it is loaded.
func (b *Browser) Open(t testing.TB, url string, v View) *Page {
	t.Helper()
	var target struct{ TargetID string }
	var attached struct{ SessionID string }
	b.call(t, "", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	b.call(t, "", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	p := &Page{b: b, t: t, session: attached.SessionID, loaded: make(chan struct{})}
	b.mu.Lock()
	b.pages[p.session] = p
	b.mu.Unlock()
	for _, domain := range []string{"Network", "Page", "Runtime", "Log", "Audits"} {
		b.call(p.t, p.session, domain+".enable", struct{}{}, nil)
	}
	p.As(v)
	begin := time.Now()
	b.call(p.t, p.session, "Page.navigate", map[string]any{"url": url}, nil)
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-p.loaded:
	case <-late.C:
		t.Fatalf("%s is not loaded after %v", url, patience)
	}
	p.Took = time.Since(begin)
	return p
}

// As looks at the page in another way.
func (p *Page) As(v View) {
	p.t.Helper()
	media, scheme := "screen", "light"
	if v.Print {
		media = "print"
	}
	if v.Dark {
		scheme = "dark"
	}
	p.b.call(p.t, p.session, "Emulation.setEmulatedMedia", map[string]any{"media": media,
		"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	p.b.call(p.t, p.session, "Emulation.setDeviceMetricsOverride", map[string]any{"width": v.Width, "height": 900, "deviceScaleFactor": 1, "mobile": v.Mobile}, nil)
}

// event notes what the page asks for, and what the browser holds against it.
func (p *Page) event(m message) {
	var e struct {
		Request struct{ URL string }
		Entry   struct{ Level, Text string }
		Issue   struct{ Code string }
		Name    string
		Type    string
	}
	if json.Unmarshal(m.Params, &e) != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m.Method {
	case "Network.requestWillBeSent":
		p.requests = append(p.requests, e.Request.URL)
	case "Network.webSocketCreated":
		p.requests = append(p.requests, "a web socket")
	case "Log.entryAdded":
		p.complaints = append(p.complaints, e.Entry.Level+": "+e.Entry.Text)
	case "Audits.issueAdded":
		p.complaints = append(p.complaints, e.Issue.Code)
	case "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Page.javascriptDialogOpening":
		p.complaints = append(p.complaints, m.Method)
	case "Page.loadEventFired":
		p.once.Do(func() { close(p.loaded) })
	}
}

// Requests are the addresses that were asked for until now, the page's own among them.
func (p *Page) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// Complaints are what stands in the browser's console, what scripts did that shows, and what was blocked.
func (p *Page) Complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.complaints)
}

// Eval runs a script beside the page, which need not allow any, and returns its value.
func (p *Page) Eval(script string, into any) {
	p.t.Helper()
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Exception struct{ Description string }
		}
	}
	p.b.call(p.t, p.session, "Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true, "awaitPromise": true}, &r)
	if r.ExceptionDetails != nil {
		p.t.Fatalf("%.200s: %s", script, r.ExceptionDetails.Exception.Description)
	}
	if into != nil {
		if err := json.Unmarshal(r.Result.Value, into); err != nil {
			p.t.Fatalf("%.200s: %v: %s", script, err, r.Result.Value)
		}
	}
}

//go:embed look.js
var look string

// Faults are what is wrong with the page as it is looked at: see look.js.
func (p *Page) Faults() (list []string) {
	p.t.Helper()
	p.Eval(look, &list)
	return list
}

// Picture is the page as PNG, as far down as the browser can draw.
func (p *Page) Picture() []byte {
	p.t.Helper()
	const most = 16_000
	var clip struct{ Width, Height int }
	p.Eval(`({ width: document.documentElement.clientWidth, height: document.documentElement.scrollHeight })`, &clip)
	return p.data("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true, "format": "png",
		"clip": map[string]any{"x": 0, "y": 0, "width": clip.Width, "height": min(most, clip.Height), "scale": 1}})
}

// Paper is the page as PDF.
func (p *Page) Paper() []byte {
	p.t.Helper()
	return p.data("Page.printToPDF", map[string]any{"printBackground": false})
}

func (p *Page) data(method string, params any) []byte {
	p.t.Helper()
	var r struct{ Data string }
	p.b.call(p.t, p.session, method, params, &r)
	data, err := base64.StdEncoding.DecodeString(r.Data)
	if err != nil {
		p.t.Fatal(err)
	}
	return data
}

// Close forgets the page.
func (p *Page) Close() {
	p.t.Helper()
	p.b.call(p.t, p.session, "Page.close", struct{}{}, nil)
}
