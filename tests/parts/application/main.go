// An application with the package of docs/application.md. A header stands for the session of its own sign-in.
package main

import (
	"log"
	"net/http"
	"os"

	"example/chat"
)

func signedIn(r *http.Request) (chat.User, bool) {
	return chat.User{ID: "7", Name: "Ålice 李"}, r.Header.Get("X-Test-User") == "7"
}

func main() {
	http.Handle("/chat/session", chat.Session(signedIn))
	http.HandleFunc("/sign-out", func(w http.ResponseWriter, r *http.Request) {
		user, _ := signedIn(r)
		answer, err := chat.Ask(r.Context(), http.MethodDelete, user)
		if err != nil {
			log.Fatal(err)
		}
		answer.Body.Close()
		w.WriteHeader(answer.StatusCode)
	})
	log.Fatal(http.ListenAndServe(os.Getenv("HOST")+":"+os.Getenv("PORT"), nil))
}
