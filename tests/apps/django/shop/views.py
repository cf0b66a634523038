"""The site's pages."""

import logging
import os
import platform

import django
from django.http import JsonResponse
from django.shortcuts import render

log = logging.getLogger(__name__)


def front_page(request):
    log.info("front page for %s", request.META.get("HTTP_X_FORWARDED_FOR"))
    return render(request, "front.html", {"dyno": os.environ.get("DYNO", "?")})


def env(request):
    """One config var, named in the query: /env?name=GREETING."""
    name = request.GET.get("name", "")
    return JsonResponse({"name": name, "value": os.environ.get(name)})


def version(request):
    return JsonResponse({"python": platform.python_version(), "django": django.get_version()})
