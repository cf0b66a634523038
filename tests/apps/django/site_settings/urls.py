"""Addresses of the site."""

from django.urls import path

from shop import views

urlpatterns = [
    path("", views.front_page),
    path("env", views.env),
    path("version", views.version),
]
