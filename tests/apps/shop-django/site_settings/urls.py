"""Addresses of the shop; `api` and `media` are also reached through the front's host."""

from django.contrib import admin
from django.urls import path

from shop import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/items", views.items),
    path("api/media/<str:name>", views.media),
]
