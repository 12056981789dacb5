package cli

import (
	"context"
	"strings"
	"testing"

	"agentbox/internal/audit"
	"agentbox/internal/session"
)

// A secret is in no text that the supervisor was asked about, wherever it stands: not behind what a request holds either,
// nor a part of it before.
func TestCutOfLongTexts(t *testing.T) {
	const secret = "correct-horse-battery-staple"
	root := t.TempDir()
	s, err := session.Create(root, session.Info{ID: session.NewID()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	var known audit.Redactor
	known.Add(secret)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- s.Serve(ctx, func(r session.Request) session.Reply {
			reply := session.Reply{OK: true}
			for _, text := range r.Texts {
				reply.Texts = append(reply.Texts, []byte(known.Redact(string(text))))
			}
			return reply
		})
	}()
	defer func() { cancel(); <-done }()
	g := &gatherer{s: &subject{id: s.ID(), root: root, live: true}}
	for name, before := range map[string]int{"short": 10, "to the end": session.MaxTexts - len(secret), "over it": session.MaxTexts - len(secret)/2, "behind it": 2 * session.MaxTexts} {
		t.Run(name, func(t *testing.T) {
			list := []audit.Text{"harmless", audit.Text(strings.Repeat("a", before) + secret + "tail"), "harmless, too"}
			if err := g.askToCut(pointers(list)); err != nil {
				t.Fatal(err)
			}
			if list[0] != "harmless" || list[2] != "harmless, too" || !strings.HasPrefix(string(list[1]), strings.Repeat("a", 10)) {
				t.Errorf("%.20q, %.20q, %.20q", list[0], list[1], list[2])
			}
			if strings.Contains(string(list[1]), secret[:4]) {
				t.Errorf("the secret, or its beginning, is in …%q", list[1][max(0, len(list[1])-60):])
			}
		})
	}
}
