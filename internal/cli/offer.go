package cli

import (
	"context"
	"errors"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"
)

// offerHelp says what the answers mean.
const offerHelp = "r - review: show the changes, then ask again\na - apply what needs no yes of its own, and list what was held back\n" +
	"k - keep them for later\nd - discard them, after one more question"

// offer asks a person who is there what becomes of the changes, after everything else of the session has been written
// down. Whatever goes wrong with the question, they are kept.
func (k *keeper) offer(ctx context.Context, o runOptions, r *result) {
	if k == nil || !k.waiting {
		return
	}
	if !k.asks(o, r) {
		k.later()
		return
	}
	signal.Reset(unix.SIGTSTP, unix.SIGCONT) // the agent's no more
	screen := k.c.onScreen()
	for k.decide(ctx, screen) {
	}
}

// asks reports whether there is somebody to answer, who has not said before what is to become of the changes.
func (k *keeper) asks(o runOptions, r *result) bool {
	if o.background != nil || o.decided || k.apply != "none" || r.patch != nil || !k.c.canAsk() {
		return false
	}
	group, err := unix.IoctlGetInt(int(k.c.in.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp() && (!r.asked || r.urged == unix.SIGINT)
}

// later says how the changes are reached.
func (k *keeper) later() {
	k.c.voice.hint(k.remedy())
}

func (k *keeper) remedy() string {
	return strings.ReplaceAll(`"agentbox diff ID" shows them, "agentbox apply ID" and "agentbox discard ID" decide`, "ID", k.info.ID)
}

// onScreen is a caller whose answers go where the questions do, and not into the agent's output.
func (c *caller) onScreen() *caller {
	screen, voice := *c, *c.voice
	voice.out = stream{file: c.err, color: c.voice.err.color, width: screenWidth(c.err)}
	screen.out, screen.voice = c.err, &voice
	return &screen
}

// decide asks once, does what is said, and reports whether to ask again.
func (k *keeper) decide(ctx context.Context, screen *caller) (again bool) {
	var err error
	switch answer := k.answer(ctx); answer {
	case "r", "review":
		again, err = true, diff(ctx, diffOptions{id: k.info.ID, offered: true}, screen)
	case "a", "apply":
		err = apply(ctx, applyOptions{id: k.info.ID, all: true}, screen)
	case "d", "discard":
		err = discard(ctx, discardOptions{id: k.info.ID}, screen)
		var said *saidError
		again = errors.Is(err, exitStatus(exitFailure)) && !errors.As(err, &said) // a no to the second question
	case "", "k", "keep", "q", "quit":
		k.later()
	default:
		for line := range strings.Lines(offerHelp) {
			screen.voice.notef("%s", strings.TrimSpace(line))
		}
		return true
	}
	var status exitStatus
	if err != nil && !errors.As(err, &status) {
		screen.voice.report(err)
		screen.voice.notef("the changes are kept in session %s", k.info.ID)
	}
	return again
}

// answer asks the question. No answer, because of a signal or the end of the terminal, is "", which keeps.
func (k *keeper) answer(ctx context.Context) string {
	ctx, signals := newCourier(ctx, false)
	defer signals.stop()
	_ = unix.IoctlSetInt(int(k.c.in.Fd()), unix.TCFLSH, unix.TCIFLUSH) // what was typed for the agent is no answer
	k.c.voice.ask("review, apply, keep or discard them? [r/a/K/d]")
	text, err := lineReader(ctx, k.c.in)()
	if err != nil {
		k.c.voice.err.write("\n")
		return ""
	}
	return strings.ToLower(text)
}
