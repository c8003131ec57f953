// Shows the contract. No validator of another host is asked, and a key that is typed in is forgotten with the page.
SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#contract',
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  showExtensions: true,
  showCommonExtensions: true,
  validatorUrl: null,
});
