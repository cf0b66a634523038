// A small shop front: greets, and numbers its visits.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/google/uuid"
)

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		log.Fatal("PORT is not set")
	}
	boot := uuid.New()
	var visits atomic.Int64
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "Hello from Go, visit %d since boot %s\n", visits.Add(1), boot)
	})
	log.Fatal(http.ListenAndServe(":"+port, nil))
}
