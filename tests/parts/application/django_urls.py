"""The routes of the application. A header stands for the session of its own sign-in."""
import chat.views
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpResponse
from django.urls import path


def sign_in(next_step):
    def step(request):
        known = request.headers.get("X-Test-User") == "7"
        request.user = User(pk=7, first_name="Ålice", last_name="李") if known else AnonymousUser()
        return next_step(request)

    return step


def sign_out(request):
    return HttpResponse(status=chat.views.sidemint("DELETE", request.user)[0])


urlpatterns = [path("chat/session", chat.views.session), path("sign-out", sign_out)]
