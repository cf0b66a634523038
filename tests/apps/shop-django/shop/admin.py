"""Items are kept by hand in Django's own admin pages."""

from django.contrib import admin

from shop.models import Item

admin.site.register(Item)
