package world

import (
	"fmt"
	"net/http"
)

// Events serves a stream of server-sent events: each text of the channel, at once, until the channel is closed or the
// client goes. One client takes them all, if it is the only one.
func Events(texts <-chan string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		flush := http.NewResponseController(w).Flush
		flush()
		for {
			select {
			case text, ok := <-texts:
				if !ok {
					return
				}
				fmt.Fprintf(w, "data: %s\n\n", text)
				flush()
			case <-r.Context().Done():
				return
			}
		}
	})
}
